"""Packed decode: agreement with the sequential twin and the plain forward, isolation, chunks, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Intervention, Knockout, KVPatch, MLPPatch, ResidualEdit
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import KERNELS, LENGTH, Setting, decision_rows, setting
from tests.families import FAMILIES, ids_of


def snapshot(cache: FrozenCache) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in (*cache.keys, *cache.values)]


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_rows_agree_with_sequential_edits(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    rows = decision_rows(at.loaded.spec.d_model)
    packed = at.engine.decode(at.base, rows, at.donors)
    alone = Sequential(at.loaded).decode(at.base, rows, at.donors)
    torch.testing.assert_close(packed.logits, alone.logits, atol=1e-4, rtol=0)
    assert packed.argmax is not None
    assert alone.argmax is not None
    assert torch.equal(packed.argmax, alone.argmax)
    # Every intervention shows; a patch far outside every window may not, so those rows patch inside one too.
    assert ((packed.logits[1:] - packed.logits[0]).abs().amax(1) > 1e-2).all()


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_without_interventions_it_is_the_plain_forward(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    model: Any = at.loaded.model
    with torch.no_grad():
        plain = model(torch.tensor([at.base.ids])).logits[0, -1]
    logits = at.engine.decode(at.base, [(), ()]).logits
    torch.testing.assert_close(logits, plain.expand(2, -1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_the_whole_prefix_gives_the_donors_logits(family: str) -> None:
    at = setting(family)
    every = KVPatch(tuple(range(LENGTH - 1)), 0)
    logits = at.engine.decode(at.base, [(every,)], at.donors).logits[0]
    torch.testing.assert_close(logits, at.donors[0].logits, atol=2e-5, rtol=0)
    assert (logits - at.base.logits).abs().max() > 0.1


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_from_itself_changes_nothing(family: str) -> None:
    at = setting(family)
    every = tuple(range(LENGTH - 1))
    rows = [
        (KVPatch(every, 0),),
        (KVPatch(every, 0, part="V"), KVPatch((3,), 0, part="K")),
        tuple(HeadPatch(1, head, 0) for head in range(4)),
        (MLPPatch(0, 0), MLPPatch(2, 0)),
    ]
    logits = at.engine.decode(at.base, rows, [at.base]).logits
    torch.testing.assert_close(logits, at.base.logits.expand(4, -1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_does_not_depend_on_its_neighbours(family: str) -> None:
    at = setting(family)
    rows = decision_rows(at.loaded.spec.d_model)
    together = at.engine.decode(at.base, rows, at.donors).logits
    backwards = at.engine.decode(at.base, rows[::-1], at.donors).logits.flip(0)
    alone = torch.cat([at.engine.decode(at.base, [row], at.donors).logits for row in rows])
    torch.testing.assert_close(together, backwards, atol=1e-5, rtol=0)
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_cache_is_written_to(family: str) -> None:
    at = setting(family)
    caches = [at.base.cache, *(donor.cache for donor in at.donors)]
    before = [snapshot(cache) for cache in caches]
    at.engine.decode(at.base, decision_rows(at.loaded.spec.d_model), at.donors)
    for cache, copies in zip(caches, before, strict=True):
        assert all(torch.equal(a, b) for a, b in zip((*cache.keys, *cache.values), copies, strict=True))


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt-oss"])
def test_chunked_equals_unchunked(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = setting(family)
    rows = decision_rows(at.loaded.spec.d_model)
    widths: list[int] = []
    small = Engine(at.loaded, memory_budget_mb=0.5)
    forward = at.loaded.model.forward
    monkeypatch.setattr(
        at.loaded.model, "forward", lambda *a, **k: widths.append(k["input_ids"].shape[1]) or forward(*a, **k)
    )
    chunked = small.decode(at.base, rows, at.donors)
    monkeypatch.undo()
    assert len(widths) > 1
    assert sum(widths) == len(rows)
    whole = at.engine.decode(at.base, rows, at.donors)
    torch.testing.assert_close(chunked.logits, whole.logits, atol=1e-5, rtol=0)
    assert chunked.argmax is not None
    assert whole.argmax is not None
    assert torch.equal(chunked.argmax, whole.argmax)


@pytest.mark.parametrize("family", FAMILIES)
def test_named_tokens_are_those_of_the_whole_vocabulary(family: str) -> None:
    at = setting(family)
    rows = decision_rows(at.loaded.spec.d_model)
    full = at.engine.decode(at.base, rows, at.donors)
    some = at.engine.decode(at.base, rows, at.donors, token_ids=(7, 3))
    torch.testing.assert_close(some.logits, full.logits[:, [7, 3]], atol=1e-5, rtol=0)
    assert some.argmax is None
    assert full.argmax is not None
    assert torch.equal(full.argmax, full.logits.argmax(1))


def test_the_softcap_is_in_the_logits() -> None:
    at = setting("gemma2")
    softcap = at.loaded.spec.softcap
    assert softcap is not None
    logits = at.engine.decode(at.base, [()]).logits[0]
    raw = at.engine.lens(at.base.resid[-1])
    torch.testing.assert_close(logits, softcap * torch.tanh(raw / softcap), atol=2e-5, rtol=0)
    assert (raw - logits).abs().max() > 1e-2


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-oss"])
def test_bfloat16_runs_in_the_models_dtype(family: str) -> None:
    at = setting(family, None, torch.bfloat16)
    rows = decision_rows(at.loaded.spec.d_model)
    assert at.base.cache.keys[0].dtype == at.base.z.dtype == torch.bfloat16
    packed = at.engine.decode(at.base, rows, at.donors)
    alone = Sequential(at.loaded).decode(at.base, rows, at.donors)
    assert packed.logits.dtype == torch.float32
    error = (packed.logits - alone.logits).abs().amax(1)
    spread = alone.logits.std(1)
    assert (error < 0.15 * spread).all()


REFUSED: list[tuple[Intervention, str]] = [
    (KVPatch((LENGTH - 1,), 0), "position 39"),
    (KVPatch((0,), 2), "donor 2"),
    (KVPatch((0,), 0, (3,)), "layer 3"),
    (HeadPatch(0, 4, 0), "head 4"),
    (HeadPatch(0, 0, 0, 5), "engine.rerun"),
    (MLPPatch(0, 0, 5), "engine.rerun"),
    (ResidualEdit(0, 5, torch.zeros(64)), "engine.rerun"),
    (Knockout((50,)), "position 50"),
]


@pytest.mark.parametrize(("edit", "message"), REFUSED)
def test_what_cannot_be_decoded_is_refused(edit: Intervention, message: str) -> None:
    at: Setting = setting("llama")
    with pytest.raises(PkvError, match=message):
        at.engine.decode(at.base, [(), (edit,)], at.donors)


def test_a_donor_of_another_length_is_refused() -> None:
    at = setting("llama")
    longer = at.engine.prefill(ids_of(at.loaded, LENGTH + 1, seed=5))
    with pytest.raises(PkvError, match="donor 0 has 41 tokens and the base 40"):
        at.engine.decode(at.base, [()], [longer])


def test_no_rows_and_bad_tokens_are_refused() -> None:
    at = setting("llama")
    with pytest.raises(PkvError, match="at least one row"):
        at.engine.decode(at.base, [])
    with pytest.raises(PkvError, match="token id"):
        at.engine.decode(at.base, [()], token_ids=(at.loaded.spec.vocab_size,))
