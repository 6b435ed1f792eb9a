"""Columns laid out once and written in place, so that a long run of tokens can go through a model in blocks.

A causal model may run tokens in any number of consecutive forwards. One forward over ``n`` tokens after a
cache of ``c`` needs a mask, and its attention then computes all ``n * (c + n)`` scores, of which the mask
drops ``n * n / 2``. In blocks of ``BLOCK`` tokens each block sees only the columns up to its own end, so no
more than ``n * BLOCK / 2`` scores are computed and then masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicLayer

from pkv_interp.cache.window import Window, first_seen

#: Tokens per forward. Fewer waste less attention (see above), more spread the fixed cost of a forward better
#: (measured from 128 to 2048 on a CPU core, prompts of 1.5k to 4k tokens).
BLOCK = 512


def blocks(n: int, size: int | None = None) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` (``BLOCK`` when None) over ``n`` tokens."""
    step = size or BLOCK
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def blocks_between_gaps(at: Sequence[int]) -> Iterator[slice]:
    """``blocks`` of tokens at ascending positions, none of which reaches over a gap between them."""
    starts = [index for index in range(1, len(at)) if at[index] != at[index - 1] + 1]
    for start, stop in pairwise([0, *starts, len(at)]):
        yield from (slice(start + one.start, start + one.stop) for one in blocks(stop - start))


class BlockLayer(DynamicLayer):
    """One layer's keys and values in memory of their final length; each forward writes its own columns.

    The tensors handed in are copied once. Where the layer slides, a forward is given only the columns that
    its first token can see or that come later.

    Attributes:
        columns: keys and values, Float[1, n_kv, length, d]; past those handed in empty until written.
    """

    def __init__(
        self,
        keys: Float[Tensor, "1 n_kv T d"],
        values: Float[Tensor, "1 n_kv T d"],
        length: int,
        window: Window,
    ) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.columns = (_room(keys, length), _room(values, length))
        self.keys, self.values = self.columns
        self.is_sliding = window is not None
        self._window = window
        self._at: Int[Tensor, " block"] | None = None
        self._first, self._start, self._stop = 0, 0, 0

    def place(self, at: Int[Tensor, " block"]) -> None:
        """Set the positions of the next forward's tokens, ascending and within the final length."""
        self._at, self._start, self._stop = at.to(self.columns[0].device), int(at[0]), int(at[-1]) + 1
        self._first = first_seen(self._start, self._window)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write the forward's columns, and hand out all that it can see: two Float[1, n_kv, seen, d]."""
        del args, kwargs
        assert self._at is not None
        keys, values = self.columns
        keys.index_copy_(2, self._at, key_states)
        values.index_copy_(2, self._at, value_states)
        seen = slice(self._first, self._stop)
        return keys[:, :, seen], values[:, :, seen]

    def get_seq_length(self) -> int:
        """Columns before the next forward's tokens, where those follow one another."""
        return self._start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that the next forward is given, and the position of the first of them."""
        return self._start + query_length - self._first, self._first


def _room(columns: Float[Tensor, "1 n_kv T d"], length: int) -> Float[Tensor, "1 n_kv length d"]:
    """A copy with room for ``length`` columns."""
    batch, heads, filled, width = columns.shape
    room = columns.new_empty(batch, heads, length, width)
    room[:, :, :filled] = columns
    return room
