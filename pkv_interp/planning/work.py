"""Multiply-adds of forwards, and how many blocks they go through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from pkv_interp.planning.shape import Shape


@dataclass(frozen=True)
class Work:
    """What forwards compute.

    Attributes:
        macs: multiply-adds.
        blocks: blocks that were entered, one per forward and layer; each has a cost of its own.
    """

    macs: float
    blocks: float

    def __add__(self, other: Work) -> Work:
        return Work(self.macs + other.macs, self.blocks + other.blocks)

    def times(self, n: float) -> Work:
        """``n`` times the same."""
        return Work(self.macs * n, self.blocks * n)


def _scores(shape: Shape, seen: Callable[[int | None], float]) -> float:
    """Multiply-adds of scores and of what they weigh, with the pairs of tokens that a window lets see."""
    return 2 * shape.n_heads * shape.head_dim * sum(seen(window) for window in shape.windows)


def prefill_work(shape: Shape, tokens: int, after: int = 0) -> Work:
    """One forward of ``tokens`` tokens after ``after`` cached ones, with logits of the last.

    Each token sees the columns before it and its own, as far as its layer's window reaches.
    """

    def seen(window: int | None) -> float:
        end = after + tokens
        every = (end * (end + 1) - after * (after + 1)) / 2
        if window is None or window >= end:
            return every
        return sum(min(at + 1, window) for at in range(after, end))

    linear = shape.n_layers * shape.layer_macs * tokens
    return Work(linear + _scores(shape, seen) + shape.head_macs, shape.n_layers)


def decode_work(
    shape: Shape, rows: int, columns: int, *, tokens: int = 1, most: int = 512, swept: bool = False
) -> Work:
    """Rows packed side by side, each of ``tokens`` tokens at the end of a prompt.

    Packed tokens are multiplied with every column and with one another; what a row must not see is masked
    afterwards, so that windows save nothing here.

    Args:
        shape: of the model.
        rows: how many; 0 costs nothing.
        columns: tokens of the prefix that is read.
        tokens: of one row.
        most: packed tokens in one forward, unless a row alone has more.
        swept: the rows are first edited in every layer in turn, and go through the blocks from there on;
            otherwise they go through all of them.
    """
    if not rows:
        return Work(0.0, 0.0)
    entered = [shape.n_layers - first for first in (range(shape.n_layers) if swept else (0,))]
    depth = sum(entered) / len(entered)
    # Of more than one token the MLPs of the first layer and the last are hardly run: what goes into them is
    # known, or what comes out of them is not read.
    idle = 0 if tokens == 1 else 2
    inside = sum(max(0, blocks - idle) for blocks in entered) / len(entered)
    together = max(1, min(rows, most // tokens))
    forwards = ceil(rows / together)
    packed = min(rows, together) * tokens
    one = shape.layer_macs - shape.mlp_macs + 2 * shape.n_heads * shape.head_dim * (columns + packed)
    return Work(rows * tokens * (depth * one + inside * shape.mlp_macs), depth * forwards)
