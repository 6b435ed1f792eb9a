"""Packed suffixes: agreement with a whole forward under hooks, isolation of rows, chunks, refusals."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import KERNELS, LENGTH, decision_rows, prefill_rows, setting
from tests.families import FAMILIES


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_rows_agree_with_a_whole_forward_under_hooks(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    rows = prefill_rows(at.loaded.spec.d_model)
    packed = at.engine.rerun(at.base, rows, at.donors)
    alone = Sequential(at.loaded).rerun(at.base, rows, at.donors)
    torch.testing.assert_close(packed.logits, alone.logits, atol=1e-4, rtol=0)
    assert packed.argmax is not None
    assert alone.argmax is not None
    assert torch.equal(packed.argmax, alone.argmax)
    moved = (packed.logits - packed.logits[0]).abs().amax(1)
    # The edit at position 0 is out of reach where all layers slide; all others are seen by every family.
    assert (moved[1:-1] > 1e-3).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_decision_time_rows_give_what_decode_gives(family: str) -> None:
    at = setting(family)
    rows = decision_rows(at.loaded.spec.d_model)
    torch.testing.assert_close(
        at.engine.rerun(at.base, rows, at.donors).logits,
        at.engine.decode(at.base, rows, at.donors).logits,
        atol=1e-5, rtol=0,
    )  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_writing_back_the_bases_own_values_changes_nothing(family: str) -> None:
    at = setting(family)
    rows: list[Row] = [
        tuple(HeadPatch(1, head, 0, 12) for head in range(4)),
        (MLPPatch(0, 0, 20), MLPPatch(2, 0, 30)),
        (ResidualEdit(1, 25, at.base.need("resid_all")[2, 25], "set"),),
    ]
    logits = at.engine.rerun(at.base, rows, [at.base]).logits
    torch.testing.assert_close(logits, at.base.logits.expand(3, -1), atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_does_not_depend_on_its_neighbours(family: str) -> None:
    at = setting(family)
    rows = prefill_rows(at.loaded.spec.d_model)
    together = at.engine.rerun(at.base, rows, at.donors).logits
    alone = torch.cat([at.engine.rerun(at.base, [row], at.donors).logits for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-oss"])
def test_chunked_equals_unchunked(family: str) -> None:
    at = setting(family)
    rows = prefill_rows(at.loaded.spec.d_model)
    chunked = Engine(at.loaded, memory_budget_mb=0.1).rerun(at.base, rows, at.donors, token_ids=(4, 5)).logits
    whole = at.engine.rerun(at.base, rows, at.donors, token_ids=(4, 5)).logits
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=0)


def test_the_base_is_left_as_it_was() -> None:
    at = setting("gemma3")
    before = [tensor.clone() for tensor in (*at.base.cache.keys, *at.base.cache.values)]
    at.engine.rerun(at.base, prefill_rows(at.loaded.spec.d_model), at.donors)
    after = (*at.base.cache.keys, *at.base.cache.values)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_half_patch_inside_the_rerun_suffix_is_refused() -> None:
    at = setting("llama")
    row = (ResidualEdit(0, 10, torch.zeros(64)), KVPatch((12,), 0, part="K"))
    with pytest.raises(PkvError, match="K-only patch at position 12"):
        at.engine.rerun(at.base, [row], at.donors)


@pytest.mark.parametrize(
    ("patch", "name"), [(HeadPatch(0, 0, 0, 5), "z_all"), (MLPPatch(0, 0, 5), "mlp_all")]
)
def test_a_donor_without_the_activations_is_refused(patch: HeadPatch | MLPPatch, name: str) -> None:
    at = setting("llama")
    plain = at.engine.prefill(at.base.ids)
    with pytest.raises(PkvError, match=name):
        at.engine.rerun(at.base, [(patch,)], [plain])


def test_out_of_range_is_refused() -> None:
    at = setting("llama")
    with pytest.raises(PkvError, match=f"position {LENGTH}"):
        at.engine.rerun(at.base, [(HeadPatch(0, 0, 0, LENGTH),)], at.donors)
