"""Rows that come into a forward at the layer that they edit first give what whole forwards give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.engine.decode import run_rows
from pkv_interp.engine.joining import joining_of
from pkv_interp.engine.packing import pack
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.reference.sequential import Sequential
from pkv_interp.reference.whole_layers import WholeLayers
from tests.engine.support import KERNELS, LENGTH, setting

START = 26
PLACES = (START, 31, 36)


def sweep(n_layers: int, n_heads: int, first: int = 0) -> list[Row]:
    """Every head and MLP at three positions, layer by layer from ``first`` on."""
    rows: list[Row] = []
    for layer in range(first, n_layers):
        rows += [tuple(HeadPatch(layer, head, 0, at) for at in PLACES) for head in range(n_heads)]
        rows.append(tuple(MLPPatch(layer, 0, at) for at in PLACES))
    return rows


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_a_sweep_agrees_with_rows_alone_and_with_whole_layers(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    spec = at.loaded.spec
    rows = sweep(spec.n_layers, spec.n_heads)[:: 2 if family == "llama" else 3]
    rows.append((HeadPatch(1, 0, 1, START), MLPPatch(2, 1), HeadPatch(2, 1, 1, 33)))
    rows.append((ResidualEdit(1, START, torch.linspace(-1, 1, spec.d_model)),))
    joined = at.engine.rerun(at.base, rows, at.donors).logits
    whole = WholeLayers(at.loaded).rerun(at.base, rows, at.donors).logits
    alone = Sequential(at.loaded).rerun(at.base, rows, at.donors).logits
    torch.testing.assert_close(joined, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(joined, whole, atol=1e-4, rtol=0)
    moved = (joined - at.base.logits).abs().amax(1)
    assert (moved[[0, 1, -2, -1]] > 1e-4).all()


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("kinds", ["heads", "mlps", "both", "one"])
def test_forwards_of_one_kind_or_one_layer(first: int, kinds: str) -> None:
    """The first layer's heads, or its MLPs, may be all that a forward edits; one row may be all it has."""
    at = setting("gemma2")
    rows = sweep(3, 4, first)
    if kinds == "one":
        rows = rows[:1]
    elif kinds != "both":
        rows = [row for row in rows if isinstance(row[0], HeadPatch) == (kinds == "heads")]
    found = at.engine.rerun(at.base, rows, at.donors).logits
    alone = Sequential(at.loaded).rerun(at.base, rows, at.donors).logits
    torch.testing.assert_close(found, alone, atol=1e-4, rtol=0)


def test_small_batches_and_any_order_give_the_same() -> None:
    at = setting("qwen3")
    rows = sweep(3, 4)[::-1]
    budget = at.engine._budget()
    few = type(budget)(budget.total, 40, budget.itemsize, budget.mlp_width, budget.spec)
    split = run_rows(at.engine._tracer, at.base, rows, at.donors, None, few, at.engine._like).logits
    together = at.engine.rerun(at.base, rows, at.donors).logits
    torch.testing.assert_close(split, together, atol=1e-5, rtol=0)


def test_what_runs_in_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows run from their own layers on; in a forward's first layer one stands for all."""
    at = setting("llama")
    model: Any = at.loaded.model
    named = {
        id(getattr(layer.self_attn, f"{name}_proj").weight): name
        for layer in model.model.layers
        for name in "qo"
    }
    ran: dict[str, list[int]] = {"q": [], "o": []}
    right = torch.nn.functional.linear

    def counting(given: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        if id(weight) in named:
            ran[named[id(weight)]].append(given.shape[:-1].numel())
        return right(given, weight, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    width = LENGTH - START
    rows: list[Row] = [(HeadPatch(0, 0, 0, START),), (MLPPatch(1, 0, START),), (MLPPatch(1, 0, 31),)]
    at.engine.rerun(at.base, rows[:2], at.donors)
    # The edited token besides the one row; two rows; of two rows the decisions.
    assert ran == {"q": [width, 2 * width, 2 * width], "o": [width + 1, 2 * width, 2]}
    ran["q"].clear()
    at.engine.rerun(at.base, rows[1:2], at.donors)
    assert ran["q"] == [width, width]


def test_rows_join_only_where_the_stream_is_known_and_all_read_the_base() -> None:
    at = setting("llama")
    windows = at.loaded.spec.windows
    one: Row = (HeadPatch(1, 0, 0, START),)
    late: Row = (MLPPatch(2, 0, START),)
    found = joining_of(at.base, pack([one, late], LENGTH, windows, 1), [one, late], 3)
    assert found is not None
    assert (found.first, found.present) == (1, (0, 1, 2))
    bare = at.engine.prefill(at.base.ids)
    assert joining_of(bare, pack([one], LENGTH, windows, 1), [one], 3) is None
    mixed: list[Row] = [one, (*late, KVPatch((3,), 0))]
    assert joining_of(at.base, pack(mixed, LENGTH, windows, 1), mixed, 3) is None
