"""Models with a recurrent or convolutional state: it stands for the tokens before, and is never changed."""

from __future__ import annotations

import importlib
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache import FrozenCache, Runner, reposition
from pkv_interp.cache.state_cache import StateCache
from pkv_interp.cache.state_runner import StateRunner
from pkv_interp.composing import precompile, prefix, splice
from pkv_interp.composing.splice import join
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.errors import PkvError
from pkv_interp.models.architectures import tiny_architecture
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

NAMES = ("mamba", "mamba2", "falcon-h1", "qwen3-next", "lfm2", "jamba")
#: Those whose several tokens over a state transformers reads as if there were no state.
ALONE = {"mamba", "jamba"}


@cache
def model_of(name: str) -> PreTrainedModel:
    return tiny_architecture(name)


def ids_of(n: int, seed: int = 0) -> list[int]:
    return torch.randint(300, 1800, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


@torch.no_grad()
def plain(model: PreTrainedModel, ids: list[int]) -> Tensor:
    core: Any = model
    return core(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].float()


@pytest.mark.parametrize("name", NAMES)
def test_text_after_a_state_is_that_of_the_whole_text(name: str) -> None:
    """Twice over one state, one token and many at a time, across chunks of the scan and past its kernel."""
    runner = Runner.of(model_of(name))
    assert isinstance(runner, StateRunner)
    assert runner.alone is (name in ALONE)
    ids = ids_of(30)
    kept = runner.prefill(ids[:9])
    for cut in (10, 30, 13):
        after = runner.extend(kept.cache, ids[9:cut])
        torch.testing.assert_close(after.logits, plain(runner.model, ids[:cut]), atol=1e-5, rtol=0)
    again = runner.extend(runner.extend(kept.cache, ids[9:11]).cache, ids[11:])
    torch.testing.assert_close(again.logits, plain(runner.model, ids), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_never_written_to(name: str) -> None:
    runner = Runner.of(model_of(name))
    kept = runner.prefill(ids_of(9)).cache
    assert isinstance(kept, StateCache)
    before = [tensor.clone() for tensor in kept._tensors()]
    runner.extend(kept, ids_of(7, seed=1))
    assert all(torch.equal(a, b) for a, b in zip(before, kept._tensors(), strict=True))
    assert kept.length == 9
    assert kept.nbytes > 0


@pytest.mark.parametrize("name", sorted(ALONE))
def test_several_tokens_over_a_state_are_wrong_in_transformers(name: str) -> None:
    """Why these are run one at a time: without it the numbers are off, and no word is said."""
    runner = Runner.of(model_of(name))
    assert isinstance(runner, StateRunner)
    ids = ids_of(20)
    after = replace(runner, alone=False).extend(runner.prefill(ids[:9]).cache, ids[9:])
    assert (after.logits - plain(runner.model, ids)).abs().max() > 1e-2


def test_states_that_were_kept_are_found_again_and_others_are_refused() -> None:
    runner, ids = Runner.of(model_of("falcon-h1")), ids_of(20)
    first = runner.prefill(ids[:5]).cache
    last = runner.extend(runner.extend(first, ids[5:9]).cache, ids[9:]).cache
    assert last.slice(0, 5) is first
    assert last.slice(0, 20) is last
    assert runner.extend(last.slice(0, 0), ids[:5]).cache.length == 5
    for start, stop in ((0, 6), (3, 20), (0, 21)):
        with pytest.raises(PkvError, match=f"keeps a state and no columns.*the tokens {start}:{stop}"):
            last.slice(start, stop)


def test_what_asks_for_a_column_is_refused_in_one_line() -> None:
    model, tokenizer = model_of("qwen3-next"), tiny_tokenizer("qwen3")
    runner, ids = Runner.of(model), ids_of(12)
    kept = runner.prefill(ids).cache
    attempts = {
        "runs no token again": lambda: runner.recompute(kept, [3], [ids[3]]),
        "could be replaced": lambda: kept.replace([3], kept),
        "recurrent state, which has no columns to move": lambda: reposition(model, kept, 3),
        "fits behind no other text": lambda: precompile(runner, tokenizer, ids),
        "goes on from a state of its own": lambda: runner.extend(columns(), ids),
    }
    for words, attempt in attempts.items():
        with pytest.raises(PkvError, match=words):
            attempt()


def columns() -> FrozenCache:
    return Runner.of(tiny_architecture("llama")).prefill(ids_of(4)).cache


def test_a_prefix_is_reused_and_two_states_are_not_joined() -> None:
    runner, tokenizer = Runner.of(model_of("lfm2")), tiny_tokenizer("qwen3")
    kept = prefix(runner, tokenizer, "You handle orders for a web shop.")
    assert splice(runner, kept) is kept
    with pytest.raises(PkvError, match="cannot be joined"):
        join([kept, kept])


def test_auto_is_an_erratum_where_nothing_can_be_put_in_its_place() -> None:
    context = EditableContext(
        model_of("mamba2"),
        tiny_tokenizer("qwen3"),
        (user("status: ", field("status", "pending"), "\n"),),
        "Which?",
    )
    made = context.edit("status", "shipped", "auto")
    assert made.diagnostic is not None
    assert made.diagnostic.used == "erratum"
    with pytest.raises(PkvError, match="runs no token again in place; use erratum, hoist or full_reprefill"):
        context.edit("status", "shipped", "field_only")


def test_a_state_that_lies_elsewhere_is_refused() -> None:
    model = tiny_architecture("llama")
    model._is_stateful = True
    with pytest.raises(PkvError, match="has a recurrent state, and keeps it in no cache of transformers"):
        Runner.of(model)


def test_a_state_that_loses_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a model does with its state, the check at load sees that the text after it is another one."""
    model = tiny_architecture("mamba2")
    layer = importlib.import_module("transformers.cache_utils").LinearAttentionLayer

    def forgotten(_: Any, recurrent_states: Tensor, *_args: Any, **_named: Any) -> Tensor:
        return recurrent_states

    monkeypatch.setattr(layer, "update_recurrent_state", forgotten)
    with pytest.raises(PkvError, match="reads over its state are not those of the whole text"):
        Runner.of(model)
