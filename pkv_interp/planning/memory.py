"""Bytes that a run holds, by part."""

from __future__ import annotations

from dataclasses import dataclass

from pkv_interp.engine.batches import Budget
from pkv_interp.engine.keeping import capture_bytes
from pkv_interp.planning.shape import Shape

#: Bytes of one 4-bit weight (NF4) with its share of a scale, one float for 64 weights.
_NF4 = 0.5 + 4 / 64


@dataclass(frozen=True)
class Memory:
    """Bytes by part; all of them are held at once.

    Attributes:
        weights: of the model.
        prefix: keys and values of one prompt.
        donors: keys and values of the other prompts that patches take from.
        captures: activations at every position, of all prompts that were run with them.
        packed: the largest packed forward, over what was held before it.
    """

    weights: int
    prefix: int
    donors: int
    captures: int
    packed: int

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.prefix + self.donors + self.captures + self.packed


def weight_bytes(shape: Shape, itemsize: int, *, four_bit: bool = False) -> int:
    """Bytes of the weights; of 4-bit ones the matrices of the blocks alone are held narrow."""
    if not four_bit:
        return shape.n_parameters * itemsize
    return int(shape.n_quantisable * _NF4) + (shape.n_parameters - shape.n_quantisable) * itemsize


def column_bytes(shape: Shape, tokens: int, itemsize: int) -> int:
    """Bytes of the keys and values of ``tokens`` tokens."""
    return 2 * shape.n_layers * shape.n_kv_heads * shape.head_dim * tokens * itemsize


def packed_bytes(
    shape: Shape,
    rows: int,
    tokens: int,
    columns: int,
    itemsize: int,
    most: int = 512,
    limit: int | None = None,
) -> int:
    """Bytes of the largest packed forward, as the engine estimates them when it makes its batches.

    Args:
        shape: of the model.
        rows: to be run.
        tokens: of each.
        columns: of the prefix.
        itemsize: bytes of a number.
        most: packed tokens in one forward.
        limit: bound that batches are made for; a row alone may need more.
    """
    budget = Budget(limit or 0, most, itemsize, shape.mlp_width, shape)
    together = max(1, min(rows, most // tokens))
    while limit is not None and together > 1 and budget.cost(together, together * tokens, columns, 0) > limit:
        together -= 1
    return budget.cost(together, together * tokens, columns, 0)


def memory_of(
    shape: Shape,
    tokens: int,
    itemsize: int,
    *,
    packed: int,
    donors: int = 1,
    captured: int = 2,
    four_bit: bool = False,
) -> Memory:
    """Bytes of one pair of prompts at work.

    Args:
        shape: of the model.
        tokens: of a prompt.
        itemsize: bytes of a number.
        packed: of the largest packed forward (``packed_bytes``).
        donors: prompts besides the base.
        captured: prompts that were run with activations at every position.
        four_bit: weights are held as NF4.
    """
    prefix = column_bytes(shape, tokens, itemsize)
    return Memory(
        weights=weight_bytes(shape, itemsize, four_bit=four_bit),
        prefix=prefix,
        donors=donors * prefix,
        captures=captured * capture_bytes(shape, tokens, itemsize),
        packed=packed,
    )
