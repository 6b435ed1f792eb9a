"""Every operation over the table of architectures is exact against a re-encode, or refused."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from torch import Tensor

from experiments.architectures.document import DOCUMENT, filled, support_table
from experiments.architectures.measure import ModelArms
from pkv_interp.cache import Runner
from pkv_interp.cache.layer_cache import cache_form
from pkv_interp.editing import METHODS, Generation
from pkv_interp.measure.reach import OPERATIONS, Tried, survey
from pkv_interp.measure.reach_bench import Bench
from pkv_interp.models.architecture_table import ARCHITECTURES
from pkv_interp.models.architectures import tiny_architecture
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.reference.plain import Plain, reencode

#: Operations that need columns which can be run again, replaced or cut out.
COLUMNS = {
    *(
        "suffix_recompute",
        "suffix_recompute@8",
        "field_only",
        "field_erratum",
        "recompute@all",
        "recompute@4",
    ),
    *("epic@2", "cacheblend@1.0", "cacheblend@0.2", "oracle_patch@all", "oracle_patch@4"),
}
MOVED = {"splice", "seam_repair@4", "seam_repair@all", "cacheblend_repair"}
ENGINE = {"packed engine"}
STATEFUL = {"mamba", "mamba2", "falcon-mamba", "falcon-h1", "qwen3-next", "lfm2", "jamba", "granite4"}
#: What is refused, by architecture, with words of the reason; everything else is served.
REFUSED: dict[str, dict[str, str]] = {
    **{
        name: dict.fromkeys(COLUMNS, "state") | dict.fromkeys(MOVED | ENGINE, "recurrent state")
        for name in STATEFUL
    },
    "deepseek-v2": dict.fromkeys(ENGINE, "MLA"),
    "deepseek-v3": dict.fromkeys(ENGINE, "MLA"),
    "llama4": {"suffix_recompute@8": "sees chunks of 16 tokens", "packed engine": "no module 'mlp'"},
    "gpt2": dict.fromkeys(MOVED | {"suffix_recompute@8"}, "learned positions")
    | dict.fromkeys(ENGINE, "no module"),
    "bloom": dict.fromkeys(MOVED | {"suffix_recompute@8"}, "ALiBi")
    | dict.fromkeys(
        COLUMNS - {"suffix_recompute", "suffix_recompute@8", "oracle_patch@all", "oracle_patch@4"}, "ALiBi"
    )
    | dict.fromkeys(ENGINE, "no module"),
}


@cache
def tried(name: str) -> dict[str, Tried]:
    found = survey(tiny_architecture(name), tiny_tokenizer("qwen3"))
    return {one.operation: one for one in found}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_operation_is_exact_or_refused_with_its_reason(name: str) -> None:
    wanted = REFUSED.get(name, {})
    for operation, one in tried(name).items():
        if operation in wanted:
            assert one.error is None, (operation, one.error)
            assert wanted[operation] in str(one.reason)
        else:
            assert one.exact, one


def test_the_table_has_what_it_is_for() -> None:
    """The architectures that the claim names, and every method of editing that is registered."""
    named = {
        *("llama", "qwen3", "gemma2", "gemma3", "mistral", "phi3", "gpt-oss", "qwen2", "qwen2-moe"),
        *("deepseek-v2", "deepseek-v3", "phi3-longrope", "olmo2", "glm4", "cohere2", "smollm3", "llama4"),
        *("stablelm", "granite", "qwen3-next", "falcon-h1", "mamba2", "lfm2", "gpt2", "bloom"),
    }
    assert named <= set(ARCHITECTURES)
    assert set(METHODS) <= {operation.partition("@")[0] for operation in OPERATIONS}


def _spoilt(name: str) -> dict[str, Tried]:
    return {one.operation: one for one in survey(tiny_architecture(name), tiny_tokenizer("qwen3"))}


@pytest.mark.parametrize("name", ["llama", "deepseek-v2"])
def test_a_wrong_turn_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Moved columns that are not turned are off, and nothing else is."""
    room = importlib.import_module("pkv_interp.cache.reposition")
    monkeypatch.setattr(room, "turned_columns", lambda columns, *_: columns)
    off = {operation for operation, one in _spoilt(name).items() if one.error is not None and not one.exact}
    # A repair of the whole chunk does not depend on what stood there.
    assert off == {"splice", "suffix_recompute@8"}


def test_a_wrong_window_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows and chunks of which our masks know nothing: what is run again under them is off."""

    def everything(at: Tensor, columns: Tensor, _: object) -> Tensor:
        return at[:, None] < columns[None]

    monkeypatch.setattr("pkv_interp.cache.masks.unseen", everything)
    for room in ("masks", "blocks"):
        monkeypatch.setattr(f"pkv_interp.cache.{room}.first_seen", lambda *_: 0)
    for name in ("llama4", "mistral"):
        assert not _spoilt(name)["recompute@all"].exact


def test_another_text_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-encode of a text with one other token is not what an edit equals."""

    def other(runner: Runner, ids: Sequence[int], *args: Any, **named: Any) -> Plain:
        return reencode(runner, [*ids[:3], ids[3] + 1, *ids[4:]], *args, **named)

    for room in ("reach", "reach_bench"):
        monkeypatch.setattr(f"pkv_interp.measure.{room}.reencode", other)
    found = _spoilt("qwen3")
    served = {name for name, one in found.items() if one.exact}
    # What these are held against is no re-encode that was changed.
    assert served == {"auto", "generate", "seam_repair@4"}


def test_a_lost_state_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mamba reads several tokens over a state as if there were none; our way round it is switched off."""
    monkeypatch.setattr("pkv_interp.cache.state_runner._ALONE.of", lambda _: False)
    found = _spoilt("mamba")
    assert not any(found[name].exact for name in ("erratum", "hoist", "prefix reuse"))
    assert found["full_reprefill"].error is not None


@pytest.mark.parametrize("written", [(), (1,)])
def test_a_text_that_ends_too_early_is_seen(
    written: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tiny_architecture("llama"), tiny_tokenizer("qwen3"))
    assert OPERATIONS["generate"](bench) == 0.0
    room = importlib.import_module("pkv_interp.editing.generation")
    monkeypatch.setattr(room, "generate", lambda *_: Generation("", written, False))
    assert OPERATIONS["generate"](bench) > 0.0


def test_a_model_that_cannot_be_read_is_refused_in_every_operation() -> None:
    model = tiny_architecture("qwen3")
    model.config.is_encoder_decoder = True
    found = survey(model, tiny_tokenizer("qwen3"))
    assert {(one.error, one.reason) for one in found} == {(None, "the model is an encoder-decoder")}


def test_the_document_is_what_was_tried() -> None:
    """`make support` writes it; the cells are those of the table above."""
    kinds = {name: cache_form(tiny_architecture(name)).kinds() for name in ARCHITECTURES}
    rows = [
        ModelArms(name, row.cache, kinds[name], list(tried(name).values()), ())
        for name, row in ARCHITECTURES.items()
    ]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert filled(text, support_table(rows)) == text
