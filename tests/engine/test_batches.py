"""Batches keep to the budget and lose no row."""

from __future__ import annotations

import torch

from pkv_interp.engine.batches import Budget, batches, memory_budget, most_tokens
from pkv_interp.interventions import HeadPatch, KVPatch, ResidualEdit, Row
from tests.engine.support import model_of

CPU = torch.device("cpu")


def budget(total: int, tokens: int = 512) -> Budget:
    return Budget(total, tokens, 4, 128, model_of("llama").spec)


def test_small_budgets_make_small_batches() -> None:
    rows: list[Row] = [(KVPatch((index,), 0),) for index in range(30)]
    sizes = []
    for total in (1, 2**19, 2**30):
        found = batches(rows, 100, budget(total))
        assert sorted(index for batch in found for index in batch) == list(range(30))
        sizes.append(max(len(batch) for batch in found))
    assert sizes[0] == 1
    assert 1 < sizes[1] < 30
    assert sizes[2] == 30


def test_the_tokens_of_a_batch_are_bounded() -> None:
    rows: list[Row] = [(ResidualEdit(0, 60, torch.zeros(64)),) for _ in range(7)]
    found = batches(rows, 100, budget(2**40, tokens=100))
    assert [len(batch) for batch in found] == [2, 2, 2, 1]


def test_rows_are_taken_by_first_edit() -> None:
    rows: list[Row] = [(), (HeadPatch(0, 0, 0, 10),), (HeadPatch(0, 0, 0, 90),), (HeadPatch(0, 0, 0, 10),)]
    assert batches(rows, 100, budget(2**40)) == [[1, 3, 2, 0]]


def test_rows_of_one_start_are_taken_by_first_layer() -> None:
    rows: list[Row] = [(KVPatch((0,), 0, (layer,)),) for layer in (2, 0, 1)]
    assert batches(rows, 100, budget(2**40)) == [[1, 2, 0]]


def test_cost_grows_with_all_that_it_counts() -> None:
    of = budget(0).cost
    assert of(2, 2, 100, 0) > of(1, 1, 100, 0)
    assert of(2, 2, 200, 0) > of(2, 2, 100, 0)
    assert of(2, 2, 100, 50) > of(2, 2, 100, 0)


def test_the_budget_is_what_was_asked_for_or_fits_the_device() -> None:
    assert memory_budget(3, CPU) == 3 * 2**20
    assert memory_budget(None, CPU) == 2**30
    assert most_tokens(torch.device("cuda")) > most_tokens(CPU)
