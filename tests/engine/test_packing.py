"""The layout of rows: tokens, groups of layers, columns and masks."""

from __future__ import annotations

import numpy as np
import torch

from pkv_interp.engine.masks import layer_masks
from pkv_interp.engine.packing import pack
from pkv_interp.interventions import Knockout, KVPatch, ResidualEdit, Row

EDIT = ResidualEdit(0, 3, torch.zeros(2))


def visible(rows: list[Row], windows: list[int | None], n_donors: int = 0) -> list[list[list[int]]]:
    packing = pack(rows, 6, windows, n_donors)
    masks = layer_masks(packing, torch.float32, torch.device("cpu"))
    return [(mask[0, 0] == 0).int().tolist() for mask in masks]


def test_rows_bring_the_tokens_from_their_first_edit_on() -> None:
    packing = pack([(), (EDIT,), ()], 6, [None], 0)
    assert packing.row_of.tolist() == [0, 1, 1, 1, 2]
    assert packing.position_of.tolist() == [5, 3, 4, 5, 5]
    assert packing.decision.tolist() == [0, 3, 4]
    assert packing.token_at(1, 4) == 2


def test_layers_with_the_same_sources_share_a_group() -> None:
    packing = pack([(KVPatch((1,), 0, (0, 2)),), ()], 6, [None] * 4, 1)
    assert [group.layers for group in packing.groups] == [(0, 2), (1, 3)]
    assert [group.n_columns for group in packing.groups] == [6, 5]


def test_only_columns_in_use_are_brought_per_part() -> None:
    rows = [
        (KVPatch((1, 2), 0, part="K"),),
        (KVPatch((2, 4), 1),),
        (KVPatch((2,), 0, part="K"), KVPatch((2,), 1, part="V")),
    ]
    (group,) = pack(rows, 6, [None], 2).groups
    found = {(source.key, source.value): source.columns.tolist() for source in group.sources}
    assert found == {(0, None): [1, 2], (1, 1): [2, 4], (0, 1): [2]}


def test_the_later_patch_holds_and_a_knockout_holds_over_both() -> None:
    rows: list[Row] = [(KVPatch((1, 2), 0), KVPatch((2,), 1), Knockout((1,)))]
    (group,) = pack(rows, 6, [None], 2).groups
    assert [(source.key, source.columns.tolist()) for source in group.sources] == [(1, [2])]
    # Five prefix columns, one of donor 1, one token.
    assert visible(rows, [None], 2) == [[[1, 0, 0, 1, 1, 1, 1]]]


def test_a_mask_by_hand() -> None:
    rows: list[Row] = [(KVPatch((0,), 0),), (EDIT, Knockout((1, 4)))]
    assert visible(rows, [None], 1) == [
        [
            # prefix 0-4, donor's 0, tokens: row 0 at 5, row 1 at 3, 4, 5
            [0, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0, 1, 0, 0],
            [1, 1, 1, 0, 0, 0, 0, 1, 1, 0],
            [1, 0, 1, 0, 0, 0, 0, 1, 0, 1],
        ]
    ]


def test_a_window_closes_old_columns_of_every_kind() -> None:
    rows: list[Row] = [(KVPatch((0, 4), 0),), (EDIT,)]
    packing = pack(rows, 6, [2], 1)
    assert packing.groups[0].prefix == (2, 5)
    assert packing.groups[0].sources[0].columns.tolist() == [4]
    assert visible(rows, [2], 1) == [
        [
            # prefix 2-4, donor's 4, tokens: row 0 at 5, row 1 at 3, 4, 5
            [0, 0, 0, 1, 1, 0, 0, 0],
            [1, 0, 0, 0, 0, 1, 0, 0],
            [0, 0, 0, 0, 0, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 1, 1],
        ]
    ]


def test_every_layer_is_in_one_group() -> None:
    packing = pack([(KVPatch((1,), 0, (1,)),)], 6, [2, None, 2, None], 1)
    assert sorted(np.concatenate([group.layers for group in packing.groups]).tolist()) == [0, 1, 2, 3]
