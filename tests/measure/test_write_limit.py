"""The multiply-adds that a patched suffix needs, by hand and below what forwards really take."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, MLPPatch, Row
from pkv_interp.measure.timing import matmul_seconds
from pkv_interp.measure.write_limit import needed_multiply_adds
from pkv_interp.measure.writers import write_rows
from pkv_interp.models.multiply_adds import mlp_multiply_adds
from tests.families import FAMILIES, ids_of, tiny

LENGTH = 30


def test_by_hand() -> None:
    """Three layers, suffix of 10 tokens from position 20 on."""
    loaded = tiny("llama")
    spec = loaded.spec
    d, mlp, n = spec.d_model, 3 * 64 * 128, LENGTH
    wide, narrow = spec.n_heads * spec.head_dim * d, spec.n_kv_heads * spec.head_dim * d
    per_column = 2 * spec.n_heads * spec.head_dim
    # The edited token's query reads 21 columns; those after it see one column that is not the base's.
    second = (2 * narrow + wide) + 10 * (wide + mlp) + per_column * (21 + 9)
    # Keys and values of the suffix; the decision reads all.
    last = 10 * 2 * narrow + 2 * wide + mlp + per_column * n
    head = spec.head_dim * d + mlp
    assert needed_multiply_adds(loaded, n, [(HeadPatch(0, 1, 0, 20),)]) == head + second + last
    assert needed_multiply_adds(loaded, n, [(MLPPatch(0, 0, 20),)]) == second + last
    only = 2 * narrow + wide + mlp + per_column
    assert needed_multiply_adds(loaded, n, [(MLPPatch(1, 0, 20),)]) == only
    assert needed_multiply_adds(loaded, n, [(MLPPatch(2, 0, 20),)]) == 0
    row: Row = (HeadPatch(0, 1, 0, 20), HeadPatch(0, 2, 0, 20))
    assert needed_multiply_adds(loaded, n, [row]) == head + spec.head_dim * d + second + last
    assert needed_multiply_adds(loaded, n, [row, row]) == 2 * needed_multiply_adds(loaded, n, [row])


@pytest.mark.parametrize("family", FAMILIES)
def test_projections_and_mlps_take_no_less(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Products of vectors and weights are counted as they run; attention and experts are not among them.

    Of three layers a half of what runs is the edited one, the next and the last, of which little is needed.
    """
    loaded = tiny(family)
    engine = Engine(loaded)
    base, donor = (engine.prefill(ids_of(loaded, LENGTH, seed), {"prefill"}) for seed in (1, 2))
    rows = write_rows(loaded.spec, (18, 22))
    counted: list[int] = []
    right = torch.nn.functional.linear

    def counting(given: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        counted.append(given.shape[:-1].numel() * weight.numel())
        return right(given, weight, *rest)

    monkeypatch.setattr(torch.nn.functional, "linear", counting)
    engine.rerun(base, rows, [donor], (5, 6))
    monkeypatch.undo()
    needed = needed_multiply_adds(loaded, LENGTH, rows)
    attention = len(rows) * 12 * LENGTH * 2 * loaded.spec.n_heads * loaded.spec.head_dim * 2
    experts, least = 0, 0.4
    if family == "gpt-oss":  # they are no linear modules: as many as if every row ran all its tokens twice
        experts, least = len(rows) * 2 * 12 * (mlp_multiply_adds(loaded, 0) - 4 * 64), 0.2
    assert least * (sum(counted) + experts) < needed < sum(counted) + experts + attention


def test_experts_count_as_often_as_a_token_goes_to_them() -> None:
    loaded = tiny("gpt-oss")
    config: Any = loaded.model.config
    assert (config.num_local_experts, config.num_experts_per_tok) == (4, 2)
    assert mlp_multiply_adds(loaded, 0) == 4 * 64 + 2 * (64 * 128 + 64 * 64)
    assert mlp_multiply_adds(tiny("phi3"), 0) == 3 * 64 * 128


def test_windows_are_seen() -> None:
    """In a sliding layer a query reads no more than its window."""
    long = 200
    narrow, wide = (tiny("mistral", window=window) for window in (16, 400))
    assert narrow.spec.windows[0] == 16
    row: Row = (MLPPatch(0, 0, 20),)
    assert needed_multiply_adds(narrow, long, [row]) < needed_multiply_adds(wide, long, [row])


def test_a_product_of_more_multiply_adds_takes_longer() -> None:
    """Beyond the cap time is scaled, so that it follows from the count alone."""
    like = torch.zeros(1)
    few = matmul_seconds(10_000_000, 16, like, most=5_000_000)
    many = matmul_seconds(10_000_000_000, 16, like, most=5_000_000)
    assert few > 0
    assert many > few
