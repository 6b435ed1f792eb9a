"""What one layer sees of the columns before a token: all, a window of the last, or the token's own chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Bool, Int
from torch import Tensor


@dataclass(frozen=True)
class Chunks:
    """A layer cuts positions into chunks; a token sees its own chunk, up to itself (Llama 4).

    Attributes:
        size: positions of a chunk, the first of which is 0.
    """

    size: int


#: Positions that a token sees, itself included; None for all before it.
Window: TypeAlias = int | Chunks | None


def first_seen(position: int, window: Window) -> int:
    """The oldest column that the token at ``position`` can see."""
    if window is None:
        return 0
    if isinstance(window, Chunks):
        return position - position % window.size
    return max(0, position + 1 - window)


def unseen(at: Int[Tensor, " n"], columns: Int[Tensor, " m"], window: Window) -> Bool[Tensor, "n m"]:
    """Which columns the tokens at the positions ``at`` do not see.

    Args:
        at: positions of the tokens.
        columns: positions of the columns.
        window: of the layer.
    """
    distance = at[:, None] - columns[None]
    hidden = distance < 0
    if isinstance(window, Chunks):
        return hidden | (at[:, None] // window.size != columns[None] // window.size)
    return hidden if window is None else hidden | (distance >= window)
