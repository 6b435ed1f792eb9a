"""A knockout at any query, against the eager weights that it leaves and against hooks; refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import Knockout, KVPatch, ResidualEdit, Row
from tests.engine.support import LENGTH, WINDOW, model_of, setting
from tests.families import FAMILIES, SLIDING_FAMILIES

LATER = tuple(range(30, LENGTH - 1))
ROWS: list[Row] = [
    (),
    (Knockout((26, 27, 28), queries=LATER),),
    (Knockout((26, 27, 28), (1,), (30, 33)),),
    (Knockout((26, 27, 28), queries=(*LATER, LENGTH - 1)),),
    (Knockout((32,), queries=(32, 33)), Knockout((30,), (0,), (31,))),
]


def under_a_mask(family: str, ids: tuple[int, ...], row: Row) -> torch.Tensor:
    """Logits of the whole prompt, its scores closed inside the softmax of the eager kernel."""
    loaded = model_of(family, "eager")
    model: Any = loaded.model
    closed = torch.zeros(loaded.spec.n_layers, LENGTH, LENGTH, dtype=torch.bool)
    for edit in row:
        assert isinstance(edit, Knockout)
        for layer in edit.layers or range(loaded.spec.n_layers):
            for query in edit.queries or (LENGTH - 1,):
                closed[layer, query, list(edit.positions)] = True
    softmax, calls = torch.nn.functional.softmax, iter(range(loaded.spec.n_layers))

    def patched(scores: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if scores.ndim < 4:  # a router chooses experts
            return softmax(scores, *args, **kwargs)
        layer = next(calls)
        scores = scores.clone()
        scores[..., :LENGTH].masked_fill_(closed[layer], float("-inf"))
        return softmax(scores, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(torch.nn.functional, "softmax", patched)
        out = model(torch.tensor([list(ids)]))
    assert next(calls, None) is None
    return out.logits[0, -1].float()


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_agree_with_scores_closed_inside_the_softmax(family: str) -> None:
    at = setting(family)
    packed = at.engine.rerun(at.base, ROWS, at.donors).logits
    slow = torch.stack([under_a_mask(family, at.base.ids, row) for row in ROWS])
    torch.testing.assert_close(packed, slow, atol=1e-4, rtol=0)
    assert ((packed[1:] - packed[0]).abs().amax(1) > 1e-4).all()


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-oss"])
def test_small_batches_and_rows_of_other_starts_change_nothing(family: str) -> None:
    at = setting(family)
    rows = [*ROWS, (ResidualEdit(1, 3, torch.ones(at.loaded.spec.d_model)),)]
    whole = at.engine.rerun(at.base, rows, at.donors).logits
    chunked = Engine(at.loaded, memory_budget_mb=0.1).rerun(at.base, rows, at.donors).logits
    torch.testing.assert_close(chunked, whole, atol=1e-5, rtol=0)


def test_rows_of_one_start_with_other_closed_positions_are_told_apart() -> None:
    """Rows that all start at one position may run as a batch under one mask; these may not."""
    at = setting("llama")
    rows: list[Row] = [(Knockout((p,), queries=(30, 31)),) for p in (5, 18, 29)]
    together = at.engine.rerun(at.base, rows).logits
    alone = torch.cat([at.engine.rerun(at.base, [row]).logits for row in rows])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    assert float((together[0] - together[1]).abs().max()) > 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decision_token_named_or_not_is_one_knockout(family: str) -> None:
    at = setting(family)
    rows: list[Row] = [(Knockout((33, 36)),), (Knockout((33, 36), queries=(LENGTH - 1, 10)),)]
    found = at.engine.decode(at.base, rows).logits
    # The token at 10 sees neither anyway.
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", SLIDING_FAMILIES)
def test_what_a_window_hides_already_changes_nothing_there(family: str) -> None:
    at = setting(family)
    sliding = tuple(i for i, window in enumerate(at.loaded.spec.windows) if window == WINDOW)
    row: Row = (Knockout((4,), sliding, (30, 31)),)
    torch.testing.assert_close(at.engine.rerun(at.base, [row]).logits[0], at.base.logits, atol=2e-5, rtol=0)


@pytest.mark.parametrize("family", ["llama", "gpt-oss"])
def test_a_token_that_would_see_nothing_is_refused(family: str) -> None:
    at = setting(family)
    everything = Knockout(tuple(range(31)), queries=(30,))
    by_two: Row = (Knockout(tuple(range(20)), queries=(30,)), Knockout(tuple(range(20, 31)), (0,), (30,)))
    for row in ((everything,), by_two):
        with pytest.raises(PkvError, match="position 30 would see nothing at all in layer 0"):
            at.engine.rerun(at.base, [row])
    with pytest.raises(PkvError, match=f"position {LENGTH - 1} would see nothing"):
        at.engine.decode(at.base, [(Knockout(tuple(range(LENGTH)), queries=(LENGTH - 1,)),)])


def test_a_window_counts_in_what_a_token_sees() -> None:
    at = setting("mistral")
    assert at.loaded.spec.windows[0] == WINDOW
    inside = tuple(range(30 - WINDOW + 1, 31))
    with pytest.raises(PkvError, match="position 30 would see nothing at all in layer 0"):
        at.engine.rerun(at.base, [(Knockout(inside, queries=(30,)),)])
    setting("llama").engine.rerun(setting("llama").base, [(Knockout(inside, queries=(30,)),)])


def test_queries_that_make_no_sense_are_refused() -> None:
    at = setting("llama")
    wrong: Any = [3]
    for queries, line in (
        ((), "name no token"),
        (wrong, "name no token"),
        ((-1,), "query -1"),
    ):
        with pytest.raises(PkvError, match=line):
            Knockout((5,), queries=queries)
    with pytest.raises(PkvError, match="no query stands at or after position 5"):
        at.engine.rerun(at.base, [(Knockout((5,), queries=(4,)),)])
    with pytest.raises(PkvError, match=f"query {LENGTH} is out of range"):
        at.engine.rerun(at.base, [(Knockout((5,), queries=(LENGTH,)),)])
    with pytest.raises(PkvError, match="a Knockout at position 12 changes the prefill"):
        at.engine.decode(at.base, [(Knockout((5,), queries=(20, 12)),)])
    with pytest.raises(PkvError, match="K-only patch at position 35 lies in a suffix run again from 30"):
        at.engine.rerun(at.base, [(Knockout((5,), queries=(30,)), KVPatch((35,), 0, part="K"))], at.donors)
