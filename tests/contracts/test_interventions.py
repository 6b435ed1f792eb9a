"""What every intervention promises. One is tested here by being part of `Intervention`."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace
from typing import Any, get_args

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.interventions import (
    AttentionPatch,
    HeadPatch,
    Intervention,
    Knockout,
    KVPatch,
    MLPPatch,
    ResidualEdit,
    Row,
)
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import LENGTH, Setting, setting

FAMILIES = ("llama", "gemma2", "gpt-oss")
KINDS: tuple[type, ...] = get_args(Intervention)
VECTOR = torch.linspace(-1, 1, 32)
#: One example a kind: at the decision token where it can be there, and in the prefill where it can be there.
EXAMPLES: dict[type, dict[str, Any]] = {
    KVPatch: {"decision": KVPatch((5, 6, 30, 36), 0)},
    Knockout: {
        "decision": Knockout((30, 34, 36)),
        "prefill": Knockout((24, 30), queries=(25, 30, 33)),
    },
    AttentionPatch: {"decision": AttentionPatch(1, 2, 0, "pattern")},
    HeadPatch: {"decision": HeadPatch(1, 2, 0), "prefill": HeadPatch(1, 2, 0, position=25)},
    MLPPatch: {"decision": MLPPatch(1, 0), "prefill": MLPPatch(1, 0, position=25)},
    ResidualEdit: {"prefill": ResidualEdit(1, 25, VECTOR)},
}


def test_every_kind_has_an_example() -> None:
    """A new kind of intervention needs an entry in EXAMPLES; the tests below then run over it."""
    assert set(EXAMPLES) == set(KINDS)


CASES = [(kind, when) for kind in KINDS for when in EXAMPLES.get(kind, {})]
IDS = [f"{kind.__name__}-{when}" for kind, when in CASES]


def vector_of(row: Intervention, at: Setting) -> Intervention:
    if isinstance(row, ResidualEdit):
        return replace(row, vector=torch.linspace(-1, 1, at.loaded.spec.d_model))
    return row


def logits(at: Setting, rows: list[Row], when: str) -> torch.Tensor:
    run = at.engine.decode if when == "decision" else at.engine.rerun
    return run(at.base, rows, at.donors).logits


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("kind", "when"), CASES, ids=IDS)
def test_packed_alone_and_the_slow_twin_agree_and_it_shows(kind: type, when: str, family: str) -> None:
    at = setting(family)
    one = vector_of(EXAMPLES[kind][when], at)
    rows: list[Row] = [(), (one,), (one, KVPatch((36,), 1))] if when == "decision" else [(), (one,)]
    packed = logits(at, rows, when)
    alone = torch.cat([logits(at, [row], when) for row in rows])
    twin = Sequential(at.loaded)
    slow = (twin.decode if when == "decision" else twin.rerun)(at.base, rows, at.donors).logits
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=0)
    torch.testing.assert_close(packed, slow, atol=1e-4, rtol=0)
    torch.testing.assert_close(packed[0], at.base.logits, atol=2e-5, rtol=0)
    assert float((packed[1] - packed[0]).abs().max()) > 1e-3


@pytest.mark.parametrize(("kind", "when"), CASES, ids=IDS)
def test_the_base_is_never_changed(kind: type, when: str) -> None:
    at = setting("llama")
    before = [tensor.clone() for tensor in (*at.base.cache.keys, *at.base.cache.values)]
    logits(at, [(vector_of(EXAMPLES[kind][when], at),)], when)
    after = (*at.base.cache.keys, *at.base.cache.values)
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_it_is_frozen(kind: type) -> None:
    one = next(iter(EXAMPLES[kind].values()))
    with pytest.raises(FrozenInstanceError):
        setattr(one, fields(one)[0].name, 0)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_numbers_below_nothing_are_refused(kind: type) -> None:
    one = next(iter(EXAMPLES[kind].values()))
    numbers = [f.name for f in fields(one) if f.name in ("layer", "head", "donor", "position")]
    sets = [f.name for f in fields(one) if f.name in ("positions", "layers", "queries")]
    assert numbers or sets
    for name in numbers:
        with pytest.raises(PkvError):
            replace(one, **{name: -1})
    for name in sets:
        with pytest.raises(PkvError):
            replace(one, **{name: (-1,)})


@pytest.mark.parametrize(("kind", "when"), CASES, ids=IDS)
def test_what_the_model_does_not_have_is_refused(kind: type, when: str) -> None:
    at = setting("llama")
    one = vector_of(EXAMPLES[kind][when], at)
    far = "layer" if hasattr(one, "layer") else "positions"
    wrong = replace(one, **{far: 99 if far == "layer" else (LENGTH + 5,)})  # pyright: ignore
    with pytest.raises(PkvError):
        logits(at, [(wrong,)], when)
