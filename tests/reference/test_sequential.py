"""The sequential twin against plainer things still."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, ResidualEdit
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import KERNELS, LENGTH, setting
from tests.families import FAMILIES


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_the_empty_row_is_the_plain_forward(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    model: Any = at.loaded.model
    with torch.no_grad():
        plain = model(torch.tensor([at.base.ids])).logits[0, -1]
    twin = Sequential(at.loaded)
    torch.testing.assert_close(twin.decode(at.base, [()]).logits[0], plain, atol=2e-5, rtol=0)
    edit = ResidualEdit(0, 4, torch.zeros(at.loaded.spec.d_model))
    torch.testing.assert_close(twin.rerun(at.base, [(edit,)]).logits[0], plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_knocking_out_a_position_makes_its_keys_and_values_irrelevant(family: str) -> None:
    at = setting(family)
    positions = (37, 38)
    rows = [(Knockout(positions),), (Knockout(positions), KVPatch(positions, 0))]
    logits = Sequential(at.loaded).decode(at.base, rows, at.donors).logits
    torch.testing.assert_close(logits[0], logits[1], atol=1e-6, rtol=0)
    assert (logits[0] - at.base.logits).abs().max() > 1e-2


def test_hooks_are_removed() -> None:
    at = setting("llama")
    twin = Sequential(at.loaded)
    twin.decode(at.base, [(HeadPatch(0, 0, 0), Knockout((3,)))], at.donors)
    twin.rerun(at.base, [(HeadPatch(0, 0, 0, 3),)], at.donors)
    torch.testing.assert_close(twin.decode(at.base, [()]).logits[0], at.base.logits, atol=2e-5, rtol=0)
    for module in at.loaded.model.modules():
        assert not module._forward_pre_hooks
    assert at.base.cache.length == LENGTH - 1
