"""The dry run of a server: all that would be sent is serialised, and comes to the same logits."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from nnsight.schema.request import RequestModel
from torch import Tensor

from experiments.circuit.settings import CircuitSettings
from pkv_interp.engine import Engine, Prefill, engine_of
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, Row
from pkv_interp.run.settings import checked
from tests.engine.support import model_of
from tests.families import ids_of

EXACT = 1e-4
LENGTH = 24
EVERYTHING = frozenset({"prefill", "attention", "queries"})


@pytest.fixture(autouse=True)
def _same_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dry run hides the paths of local modules, and puts them back in another order."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each request."""
    sizes: list[int] = []
    plain = RequestModel.serialize

    def noted(*arguments: Any, **options: Any) -> bytes:
        blob = plain(*arguments, **options)
        sizes.append(len(blob))
        return blob

    monkeypatch.setattr(RequestModel, "serialize", noted)
    return sizes


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def engines(request: pytest.FixtureRequest) -> tuple[Engine, Engine]:
    """One that runs here, and one whose requests a server could be sent."""
    loaded = model_of(request.param)
    return engine_of(loaded), engine_of(loaded, remote="local")


def prompts(engine: Engine, capture: frozenset[str] = EVERYTHING) -> tuple[Prefill, Prefill]:
    base = ids_of(engine.loaded, LENGTH, seed=1)
    other = [*ids_of(engine.loaded, LENGTH, seed=2, base=base, start=6)[:-1], base[-1]]
    return engine.prefill(base, capture), engine.prefill(other, capture)


def apart(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max())


def tensors(prompt: Prefill) -> dict[str, Tensor]:
    cache = {"keys": torch.stack(prompt.cache.keys), "values": torch.stack(prompt.cache.values)}
    return {name: one for name, one in vars(prompt).items() if isinstance(one, Tensor)} | cache


def test_a_prefill_comes_back_with_all_that_it_captures(engines: tuple[Engine, Engine]) -> None:
    (ours, _), (theirs, _) = (prompts(engine) for engine in engines)
    assert tensors(ours).keys() == tensors(theirs).keys()
    assert len(tensors(ours)) == 13
    for name, mine in tensors(ours).items():
        assert apart(mine, tensors(theirs)[name]) <= EXACT, name
    assert (ours.ids, ours.given) == (theirs.ids, theirs.given)


def test_rows_are_decoded_where_their_prompts_are_prefilled(
    engines: tuple[Engine, Engine], sent: list[int]
) -> None:
    rows: list[Row] = [
        (),
        (KVPatch(donor=0, positions=(6, 7, 8)),),
        (HeadPatch(layer=0, head=1, donor=0), MLPPatch(layer=1, donor=0)),
        (Knockout(positions=(6, 7)),),
    ]
    # Rows that run again from one token on are stacked, and share a mask.
    early: list[Row] = [(HeadPatch(layer=0, head=head, donor=0, position=9),) for head in (0, 1)]
    (ours, donor), (theirs, other) = (prompts(engine) for engine in engines)
    here, there = engines
    sent.clear()
    found = there.decode(theirs, rows, [other])
    wanted = here.decode(ours, rows, [donor])
    assert apart(found.logits, wanted.logits) <= EXACT
    assert found.argmax is not None
    assert wanted.argmax is not None
    assert found.argmax.tolist() == wanted.argmax.tolist()
    assert apart(wanted.logits[0], wanted.logits[1]) > 100 * EXACT  # the patches do something
    assert (
        apart(
            there.rerun(theirs, early, [other], [3, 5]).logits,
            here.rerun(ours, early, [donor], [3, 5]).logits,
        )
        <= EXACT
    )
    assert len(sent) == 2  # one session each, with the prefills inside


def test_what_was_edited_is_sent_and_what_tokens_make_is_not(
    engines: tuple[Engine, Engine], sent: list[int]
) -> None:
    here, there = engines
    (ours, donor), (theirs, other) = (prompts(engine, frozenset()) for engine in engines)
    row: list[Row] = [(KVPatch(donor=0, positions=(6, 7, 8)),)]
    sent.clear()
    by_tokens = there.decode(theirs, row, [other])
    made_up = replace(donor, cache=replace(donor.cache, values=tuple(2 * v for v in donor.cache.values)))
    whole = there.decode(theirs, row, [made_up])
    assert apart(by_tokens.logits, here.decode(ours, row, [donor]).logits) <= EXACT
    assert apart(whole.logits, here.decode(ours, row, [made_up]).logits) <= EXACT
    assert apart(whole.logits, by_tokens.logits) > 100 * EXACT
    columns = sum(2 * value.nbytes for value in donor.cache.values)
    assert sent[1] - sent[0] > columns
    opened = [engine.open(ours.ids, made_up.cache.slice(0, LENGTH - 3)) for engine in engines]
    assert apart(opened[0].logits, opened[1].logits) <= EXACT
    assert apart(there.decode(opened[1], [()]).logits, here.decode(opened[0], [()]).logits) <= EXACT


def test_no_weights_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embedding stands for the model's dtype and device, and must not travel for that."""
    blobs: list[bytes] = []
    plain = RequestModel.serialize
    monkeypatch.setattr(
        RequestModel, "serialize", lambda *one, **more: blobs.append(plain(*one, **more)) or blobs[-1]
    )
    loaded = model_of("llama")
    engine = engine_of(loaded, remote="local")
    engine.decode(engine.prefill(ids_of(loaded, LENGTH, seed=1)), [()])
    assert len(blobs) == 2
    for name, weight in loaded.model.named_parameters():
        piece = weight.detach().numpy().tobytes()[:64]
        assert not any(piece in blob for blob in blobs), name


def test_a_server_is_asked_for_models_of_the_hub_alone() -> None:
    assert checked(CircuitSettings, {"model": "qwen3-0.6b", "remote": True}).remote is True
    assert checked(CircuitSettings, {"model": "tiny-llama", "remote": "local"}).remote == "local"
    for model in ("tiny-llama", "smollm2-135m-gate"):
        with pytest.raises(PkvError, match=f"remote=true runs models of the hub .* {model} is none"):
            checked(CircuitSettings, {"model": model, "remote": True})
