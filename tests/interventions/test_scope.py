"""Rows against the bounds of one call, and where they start."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.interventions import (
    HeadPatch,
    Intervention,
    Knockout,
    KVPatch,
    MLPPatch,
    ResidualEdit,
    Row,
    Scope,
    first_edit,
    first_layer,
    is_decision_time,
)

SCOPE = Scope(length=10, n_layers=3, n_heads=4, d_model=8, n_donors=2)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (KVPatch((9,), 0), "position 9 .* use 0 to 8"),
        (KVPatch((1,), 2), "donor 2 .* use 0 to 1"),
        (KVPatch((1,), 0, (0, 3)), "layer 3 .* use 0 to 2"),
        (Knockout((9,)), "position 9"),
        (Knockout((0,), (5,)), "layer 5"),
        (HeadPatch(3, 0, 0), "layer 3"),
        (HeadPatch(0, 4, 0), "head 4 .* use 0 to 3"),
        (HeadPatch(0, 0, 2), "donor 2"),
        (HeadPatch(0, 0, 0, 10), "position 10 .* use 0 to 9"),
        (MLPPatch(3, 0), "layer 3"),
        (MLPPatch(0, 9), "donor 9"),
        (ResidualEdit(0, 10, torch.zeros(8)), "position 10"),
        (ResidualEdit(0, 1, torch.zeros(7)), "7 values; give it 8"),
    ],
)
def test_out_of_range_is_refused(edit: Intervention, message: str) -> None:
    with pytest.raises(PkvError, match=message):
        SCOPE.check([(), (edit,)])


def test_the_edges_are_allowed() -> None:
    SCOPE.check(
        [
            (
                KVPatch((0, 8), 1, (2,)),
                HeadPatch(2, 3, 1, 9),
                MLPPatch(0, 0),
                ResidualEdit(2, 9, torch.zeros(8)),
            )
        ]
    )


def test_a_row_must_be_a_tuple_of_interventions() -> None:
    with pytest.raises(PkvError, match="a row is a KVPatch"):
        SCOPE.check([KVPatch((0,), 0)])  # pyright: ignore[reportArgumentType]
    with pytest.raises(PkvError, match="str is no intervention"):
        SCOPE.check([("x",)])  # pyright: ignore[reportArgumentType]


def test_no_donors_is_told_as_such() -> None:
    with pytest.raises(PkvError, match="give at least one donor"):
        Scope(10, 3, 4, 8, 0).check([(MLPPatch(0, 0),)])


@pytest.mark.parametrize(
    ("row", "start", "decision_time"),
    [
        ((), 9, True),
        ((KVPatch((2,), 0), Knockout((1,)), HeadPatch(0, 0, 0)), 9, True),
        ((HeadPatch(0, 0, 0, 9), ResidualEdit(0, 9, torch.zeros(8))), 9, True),
        ((HeadPatch(0, 0, 0), MLPPatch(0, 0, 4), ResidualEdit(0, 6, torch.zeros(8))), 4, False),
    ],
)
def test_where_a_row_starts(row: Row, start: int, decision_time: bool) -> None:
    assert first_edit(row, 10) == start
    assert all(is_decision_time(edit, 10) for edit in row) is decision_time


@pytest.mark.parametrize(
    ("row", "layer"),
    [
        ((), 0),
        ((KVPatch((2,), 0),), 0),
        ((Knockout((2,), (2, 1)),), 1),
        ((KVPatch((2,), 0, (2,)), MLPPatch(1, 0)), 1),
        ((HeadPatch(2, 0, 0, 4), ResidualEdit(1, 6, torch.zeros(8))), 1),
    ],
)
def test_which_layer_a_row_changes_first(row: Row, layer: int) -> None:
    assert first_layer(row) == layer
