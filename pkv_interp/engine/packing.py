"""Rows of interventions laid out as tokens of one sequence over one shared prefix (indices only).

Every row brings the tokens from its first edited position to the decision token; a row with decision-time
edits only brings one token. All rows read the prefix of the base prompt. Where a row patches keys or values,
its decision token reads a donor's column instead of the base's: the choice is a code per row, layer and
position.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from pkv_interp.cache import AttentionLayout
from pkv_interp.interventions import Knockout, KVPatch, Row, first_edit

HIDDEN = -1
"""Code of a column that the decision token may not see at all."""


@dataclass(frozen=True)
class Source:
    """Columns read from donors: ``key`` and ``value`` are donor indices, None for the base's own."""

    key: int | None
    value: int | None
    columns: Int[np.ndarray, " n"]
    code: int


@dataclass(frozen=True, eq=False)
class Closed:
    """Tokens of a row before its decision, at ``queries``, that may not see ``positions``."""

    row: int
    queries: Int[np.ndarray, " queries"]
    positions: Int[np.ndarray, " positions"]


@dataclass(frozen=True, eq=False)
class LayerGroup:
    """Layers that share window, codes and closed positions, and so one mask and one list of columns."""

    layers: tuple[int, ...]
    window: int | None
    prefix: tuple[int, int]
    codes: Int[np.ndarray, "rows touched"]
    sources: tuple[Source, ...]
    closed: tuple[Closed, ...] = ()

    @property
    def n_columns(self) -> int:
        """Columns before the new tokens."""
        return self.prefix[1] - self.prefix[0] + sum(len(source.columns) for source in self.sources)


@dataclass(frozen=True, eq=False)
class Packing:
    """The layout of the rows of one packed forward.

    Attributes:
        length: tokens of the base prompt.
        starts: per row, its first token's position.
        row_of, position_of: per packed token, its row and its position in the prompt.
        decision: per row, the index of its decision token among the packed tokens.
        touched: sorted prefix positions that some row patches or knocks out; columns of ``LayerGroup.codes``.
        groups: the layers, grouped; every layer is in exactly one group.
        layout: who sees whom among the prompt's tokens.
    """

    length: int
    starts: Int[np.ndarray, " rows"]
    row_of: Int[np.ndarray, " tokens"]
    position_of: Int[np.ndarray, " tokens"]
    decision: Int[np.ndarray, " rows"]
    touched: Int[np.ndarray, " touched"]
    groups: tuple[LayerGroup, ...]
    layout: AttentionLayout | None = None

    @property
    def stacked(self) -> bool:
        """Whether the rows run side by side in a batch, and not one after another in one sequence.

        They can where all start at one position before the decision, read no columns but the base's and
        their own, and close none to any token; no row's tokens are then scored against another's.
        """
        start = self.starts[0]
        alike = bool((self.starts == start).all())
        closed = any(group.closed for group in self.groups)
        return alike and start < self.length - 1 and not len(self.touched) and not closed

    @property
    def shape(self) -> tuple[int, int]:
        """Batch and sequence length of the forward."""
        return (len(self.starts), self.n_tokens // len(self.starts)) if self.stacked else (1, self.n_tokens)

    @property
    def n_tokens(self) -> int:
        """Packed tokens."""
        return len(self.row_of)

    def token_at(self, row: int, position: int) -> int:
        """Index among the packed tokens of ``position`` in ``row``."""
        return int(self.decision[row]) - (self.length - 1 - position)


def pack(
    rows: Sequence[Row],
    length: int,
    windows: Sequence[int | None],
    n_donors: int,
    layout: AttentionLayout | None = None,
) -> Packing:
    """Lay out ``rows`` over a prompt of ``length`` tokens.

    Args:
        rows: checked rows (``Scope.check``).
        length: tokens of the base prompt, the decision token included.
        windows: per layer, the positions a token sees, itself included, or None.
        n_donors: number of donors that the rows index.
        layout: who sees whom among the prompt's tokens.
    """
    starts = np.array([first_edit(row, length) for row in rows], dtype=np.int64)
    sizes = length - starts
    ends = np.cumsum(sizes)
    row_of = np.repeat(np.arange(len(rows)), sizes)
    position_of = np.arange(len(row_of)) - np.repeat(ends - sizes, sizes) + np.repeat(starts, sizes)
    touched, codes = _codes(rows, length, len(windows), n_donors)
    closings = [(index, edit) for index, row in enumerate(rows) for edit in row if isinstance(edit, Knockout)]

    grouped: dict[tuple[int | None, bytes, tuple[int, ...]], list[int]] = {}
    for layer, window in enumerate(windows):
        active = (i for i, (_, edit) in enumerate(closings) if edit.layers is None or layer in edit.layers)
        grouped.setdefault((window, codes[layer].tobytes(), tuple(active)), []).append(layer)
    stop = int(starts.max())
    groups = []
    for (window, _, active), layers in grouped.items():
        # The oldest position that any packed token of these layers can see.
        first = 0 if window is None else max(0, int(starts.min()) + 1 - window)
        mine = codes[layers[0]]
        sources = _sources(mine, touched, first, n_donors)
        closed = _closed([closings[i] for i in active], length)
        groups.append(LayerGroup(tuple(layers), window, (min(first, stop), stop), mine, sources, closed))
    return Packing(length, starts, row_of, position_of, ends - 1, touched, tuple(groups), layout)


def _closed(knockouts: Sequence[tuple[int, Knockout]], length: int) -> tuple[Closed, ...]:
    """What the knockouts of one layer, each with its row, close to tokens before the decision."""
    found = []
    for row, edit in knockouts:
        if queries := [query for query in edit.blinded(length - 1) if query < length - 1]:
            found.append(Closed(row, np.array(queries), np.array(sorted(set(edit.positions)))))
    return tuple(found)


def _codes(
    rows: Sequence[Row], length: int, n_layers: int, n_donors: int
) -> tuple[Int[np.ndarray, " touched"], Int[np.ndarray, "layers rows touched"]]:
    """Touched positions and, per layer, row and touched position, which column the decision token reads.

    Code 0 is the base's own column; ``key * (n_donors + 1) + value`` with sources counted from 1 is a
    donor's.
    """
    edits = [
        [
            edit
            for edit in row
            if isinstance(edit, KVPatch)
            or (isinstance(edit, Knockout) and length - 1 in edit.blinded(length - 1))
        ]
        for row in rows
    ]
    touched = np.array(sorted({p for row in edits for edit in row for p in edit.positions}), dtype=np.int64)
    shape = (n_layers, len(rows), len(touched))
    source = {letter: np.zeros(shape, dtype=np.int32) for letter in "KV"}
    hidden = np.zeros(shape, dtype=bool)
    every = np.arange(n_layers)
    for index, row in enumerate(edits):
        for edit in row:
            at = np.searchsorted(touched, np.array(edit.positions))
            layers = every if edit.layers is None else np.array(edit.layers)
            site = (layers[:, None], index, at[None, :])
            if isinstance(edit, Knockout):
                hidden[site] = True
            else:
                for letter in edit.part:
                    source[letter][site] = edit.donor + 1
    codes = source["K"] * (n_donors + 1) + source["V"]
    codes[hidden] = HIDDEN
    return touched, codes


def _sources(
    codes: Int[np.ndarray, "rows touched"], touched: Int[np.ndarray, " touched"], first: int, n_donors: int
) -> tuple[Source, ...]:
    """For every code in use, the columns that some row reads through it, none older than ``first``."""
    sources = []
    for code in np.unique(codes[codes > 0]):
        columns = touched[(codes == code).any(0)]
        columns = columns[columns >= first]
        if len(columns):
            key, value = divmod(int(code), n_donors + 1)
            sources.append(Source(key - 1 if key else None, value - 1 if value else None, columns, int(code)))
    return tuple(sources)
