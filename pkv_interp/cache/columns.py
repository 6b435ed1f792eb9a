"""A cache whose columns come from several sources, put together one layer at a time and never stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class ColumnsLayer(DynamicLayer):
    """One layer's keys and values in pieces, joined with the new tokens when attention asks for them.

    Unlike its parent it does not keep what it joined: a packed forward reads each layer once, so only one
        layer's joined columns are alive at a time, and the pieces may be views of frozen caches.
    """

    def __init__(
        self, keys: Sequence[Float[Tensor, "1 n_kv _ d"]], values: Sequence[Float[Tensor, "1 n_kv _ d"]]
    ):
        super().__init__()
        self.lazy_initialization(keys[0], values[0])
        # Read by transformers' masks from 5.24 on, where the call above no longer sets them.
        self.dtype, self.device = keys[0].dtype, keys[0].device
        self._pieces = (tuple(keys), tuple(values))

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Columns of the pieces in order, then the new tokens: two Float[batch, n_kv, columns, d].

        Every row of the batch reads the same pieces.
        """
        del args, kwargs
        keys, values = (
            [piece.expand(len(key_states), -1, -1, -1) for piece in side] for side in self._pieces
        )
        return torch.cat((*keys, key_states), 2), torch.cat((*values, value_states), 2)

    def get_seq_length(self) -> int:
        """Number of columns before the new tokens."""
        return sum(piece.shape[2] for piece in self._pieces[0])


def columns_cache(layers: Sequence[ColumnsLayer]) -> DynamicCache:
    """A transformers cache of the given layers; use it for one forward, with explicit masks and positions."""
    cache = DynamicCache()
    cache.layers.extend(layers)
    return cache
