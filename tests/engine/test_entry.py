"""Layers below the first edit are not run, and nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import EVERYTHING, KERNELS, LENGTH, model_of, setting
from tests.families import ids_of


def upper_rows(d_model: int) -> tuple[list[Row], list[Row]]:
    """Decision-time rows and prefill rows that leave the first two layers alone."""
    up = torch.linspace(-1, 1, d_model)
    return (
        [(KVPatch((30, 37), 0, (2,)),), (HeadPatch(2, 1, 0), MLPPatch(2, 1)), (Knockout((36,), (2,)),)],
        [(HeadPatch(2, 0, 0, 28), HeadPatch(2, 1, 0, 30)), (MLPPatch(2, 0, 33),), (ResidualEdit(2, 20, up),)],
    )


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_rows_of_upper_layers_agree_with_whole_forwards(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    twin = Sequential(at.loaded)
    decision, prefill = upper_rows(at.loaded.spec.d_model)
    for rows, packed, alone in (
        (decision, at.engine.decode, twin.decode),
        (prefill, at.engine.rerun, twin.rerun),
    ):
        torch.testing.assert_close(
            packed(at.base, rows, at.donors).logits,
            alone(at.base, rows, at.donors).logits,
            atol=1e-4, rtol=0,
        )  # fmt: skip


@pytest.mark.parametrize("kept", [True, False])
def test_lower_layers_run_only_where_they_must(kept: bool) -> None:
    loaded = model_of("llama")
    model: Any = loaded.model
    engine = Engine(loaded)
    base = engine.prefill(ids_of(loaded, LENGTH, seed=1), EVERYTHING if kept else frozenset())
    donor = engine.prefill(ids_of(loaded, LENGTH, seed=2), EVERYTHING)
    ran: list[int] = []
    hooks = [
        layer.mlp.down_proj.register_forward_hook(lambda *_, index=index: ran.append(index))
        for index, layer in enumerate(model.model.layers)
    ]
    try:
        decision, prefill = upper_rows(loaded.spec.d_model)
        everything = list(range(loaded.spec.n_layers))
        engine.decode(base, decision, [donor, donor])
        assert ran == everything[2:]
        ran.clear()
        engine.decode(base, [*decision, ()], [donor, donor])
        assert ran == everything
        ran.clear()
        engine.rerun(base, prefill, [donor])
        assert ran == (everything[2:] if kept else everything)
    finally:
        for hook in hooks:
            hook.remove()
