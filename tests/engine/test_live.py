"""Rows side by side in a batch, and MLPs that run only where something can differ from the base."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pkv_interp.engine.live import live_mlps
from pkv_interp.engine.packing import pack
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import KERNELS, LENGTH, setting

START = 26


def stack(n_layers: int) -> list[Row]:
    """Rows that all start at one position, each in another layer or at more than one token."""
    rows: list[Row] = []
    for layer in range(n_layers):
        rows += [
            (HeadPatch(layer, 1, 0, START),),
            (HeadPatch(layer, 0, 0, START), HeadPatch(layer, 3, 0, 31)),
            (MLPPatch(layer, 0, START), MLPPatch(layer, 0, 35)),
        ]
    return [*rows, (HeadPatch(0, 2, 0, START), MLPPatch(n_layers - 1, 0))]


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_rows_of_one_start_agree_with_whole_forwards_under_hooks(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    rows = stack(at.loaded.spec.n_layers)
    assert pack(rows, LENGTH, at.loaded.spec.windows, 1).stacked
    together = at.engine.rerun(at.base, rows, at.donors).logits
    alone = Sequential(at.loaded).rerun(at.base, rows, at.donors).logits
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    # What is patched in the last layer before the decision is read by nobody; all else shows.
    moved = (together - at.base.logits).abs().amax(1)
    assert (moved[:-4] > 1e-4).all()
    assert (moved[-4:-1] < 1e-4).all()
    assert moved[-1] > 1e-4


def test_rows_that_read_donors_or_start_apart_are_not_stacked() -> None:
    windows = setting("llama").loaded.spec.windows
    one: Row = (HeadPatch(1, 0, 0, START),)
    for other in ((HeadPatch(1, 0, 0, START + 1),), (*one, KVPatch((3,), 0)), ()):
        assert not pack([one, other], LENGTH, windows, 1).stacked
    assert not pack([(HeadPatch(1, 0, 0),)] * 2, LENGTH, windows, 1).stacked


def test_mlps_run_on_what_can_differ() -> None:
    """Tokens per layer: the edited ones in a row's first layer, all above it, one in the last."""
    at = setting("llama")
    model: Any = at.loaded.model
    n, width = at.loaded.spec.n_layers, LENGTH - START
    assert n == 3
    ran: list[int] = []
    hooks = [
        layer.mlp.down_proj.register_forward_hook(lambda _, args, __: ran.append(args[0].shape[:-1].numel()))
        for layer in model.model.layers
    ]
    rows: list[Row] = [(HeadPatch(0, 0, 0, START), HeadPatch(0, 0, 0, 31)), (MLPPatch(1, 0, START),)]
    try:
        at.engine.rerun(at.base, rows, at.donors)
        assert ran == [2, width + 1, 2]
        ran.clear()
        at.engine.decode(at.base, [(HeadPatch(layer, 0, 0),) for layer in range(n)], at.donors)
        assert ran == [1, 2, 3]
        ran.clear()
        at.engine.decode(at.base, [(), (ResidualEdit(1, LENGTH - 1, torch.ones(64)),)], at.donors)
        assert ran == [1, 2, 2]
    finally:
        for hook in hooks:
            hook.remove()


def test_an_unknown_rest_is_computed() -> None:
    """Without the activations of all tokens only the last layer, where the decision alone is read, is cut."""
    at = setting("llama")
    bare = at.engine.prefill(at.base.ids)
    row: Row = (HeadPatch(1, 0, 0, START),)
    packing = pack([row], LENGTH, at.loaded.spec.windows, 1)
    live = live_mlps([row], packing, bare, 3)
    assert [x is None for x in live] == [True, True, False]
    kept = live[-1]
    assert kept is not None
    assert np.array_equal(kept.tokens.numpy(), packing.decision)
    torch.testing.assert_close(
        at.engine.rerun(bare, [row], at.donors).logits,
        at.engine.rerun(at.base, [row], at.donors).logits,
        atol=1e-5, rtol=0,
    )  # fmt: skip
