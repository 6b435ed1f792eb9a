"""The keys and values of one prefill, which nothing changes once they are taken."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache.attention_layout import AttentionLayout, one_layout
from pkv_interp.cache.pictures import Pictured
from pkv_interp.cache.regime import Regime, one_regime
from pkv_interp.errors import PkvError
from pkv_interp.indices import index_below, whole
from pkv_interp.names import Part

PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, eq=False)
class FrozenCache:
    """Post-RoPE keys and values of a prefix, one column per token in every layer, sliding layers included.

    Index in the cache is position in the prompt, whatever window a layer has: windows are the business of the
    mask. Where pictures are among the columns, ``pictured`` says where each of them stands. The tensors are
    shared, never written; a forward over ``view()`` grows a list of its own.

    Attributes:
        keys: per layer Float[1, n_kv_heads, T, head_dim]; a latent for all heads where a layer compresses.
        values: per layer Float[1, n_kv_heads, T, head_dim], of another width where the layer has it so.
        regime: rotary frequencies that the keys were made with, for a model whose frequencies follow the
            length of the context; None for any other model, or where it is not known.
        layout: who sees whom, in columns of this cache and of what comes after it; None where every token
            sees all before it.
        pictured: where the columns stand, and what pictures are among them; None of text alone.
    """

    keys: tuple[Float[Tensor, "1 n_kv T d"], ...]
    values: tuple[Float[Tensor, "1 n_kv T d"], ...]
    regime: Regime | None = None
    layout: AttentionLayout | None = None
    pictured: Pictured | None = None

    def __post_init__(self) -> None:
        if not self.keys or len(self.keys) != len(self.values):
            raise PkvError(
                f"a cache needs as many keys as values, not {len(self.keys)} and {len(self.values)}",
                "pass one key and one value tensor per layer",
            )
        shapes = {tuple(t.shape) for t in (*self.keys, *self.values)}
        # Heads and widths may differ between layers, and between keys and values (MLA).
        if any(len(shape) != 4 for shape in shapes) or {shape[::2] for shape in shapes} != {(1, self.length)}:
            raise PkvError(
                f"cache tensors have shapes {sorted(shapes)}",
                "give every layer the shape (1, n_kv_heads, length, head_dim)",
            )
        if self.pictured is not None and self.pictured.length != self.length:
            raise PkvError(
                f"{self.pictured.length} places were given for a cache of {self.length} columns",
                "give one place per column",
            )

    @classmethod
    def of(
        cls, cache: DynamicCache, regime: Regime | None = None, layout: AttentionLayout | None = None
    ) -> FrozenCache:
        """The tensors that a forward left in ``cache``, a cache of full layers that is used no more."""
        layers: list[Any] = cache.layers
        keys, values = (tuple(getattr(layer, part) for layer in layers) for part in ("keys", "values"))
        return cls(keys, values, regime, layout)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.keys)

    @property
    def length(self) -> int:
        """Number of tokens, T."""
        return self.keys[0].shape[2]

    @property
    def end(self) -> int:
        """Position of the token after the last column, of a cache that begins at 0."""
        return self.length if self.pictured is None else self.pictured.end

    @property
    def editable(self) -> bool:
        """Whether it has columns that can be cut out, replaced and moved."""
        return True

    @property
    def device(self) -> torch.device:
        """Where the columns lie."""
        return self.keys[0].device

    @property
    def form(self) -> Hashable:
        """Heads, widths and dtypes of all layers, and the device: equal for caches that can be joined."""
        told = tuple((t.shape[1], t.shape[3], t.dtype) for t in (*self.keys, *self.values))
        return (*told, self.device)

    @property
    def nbytes(self) -> int:
        """Bytes that the columns of this cache take; a slice counts its own columns only."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))

    def view(self) -> DynamicCache:
        """A transformers cache over the same memory.

        ``DynamicLayer.update`` concatenates, so a forward replaces the tensors of the returned object and
        leaves these as they were. Make a fresh view for every forward: a used one has grown.
        """
        cache = DynamicCache()
        for key, value in zip(self.keys, self.values, strict=True):
            layer = DynamicLayer()
            layer.lazy_initialization(key, value)
            layer.keys, layer.values = key, value
            cache.layers.append(layer)
        return cache

    def slice(self, start: int, stop: int) -> FrozenCache:
        """Columns ``start`` to ``stop`` (half open), without a copy.

        Raises:
            PkvError: when the span does not lie in the cache.
        """
        start, stop = whole(start, "the span's start"), whole(stop, "the span's stop")
        if not 0 <= start <= stop <= self.length:
            raise PkvError(
                f"span {start}:{stop} does not lie in a cache of {self.length} tokens",
                "use 0 <= start <= stop <= length",
            )
        return FrozenCache(
            tuple(key[:, :, start:stop] for key in self.keys),
            tuple(value[:, :, start:stop] for value in self.values),
            self.regime,
            None if self.layout is None else self.layout.moved(-start),
            None if self.pictured is None else self.pictured.slice(start, stop),
        )

    def replace(
        self,
        positions: Sequence[int],
        donor: FrozenCache,
        layers: Sequence[int] | None = None,
        part: Part = "KV",
    ) -> FrozenCache:
        """A new cache whose columns at ``positions`` come from ``donor``; untouched layers are shared.

        Args:
            positions: token positions, the same in both caches.
            donor: a cache of the same length and shape.
            layers: layers to change, all when None.
            part: "K", "V" or "KV".

        Raises:
            PkvError: for a donor of another length, shape, regime or attention layout, or a position or layer
                out of range.
        """
        if donor.length != self.length or [t.shape for t in donor.keys] != [t.shape for t in self.keys]:
            raise PkvError(
                f"the donor has {donor.n_layers} layers of {donor.length} tokens, "
                f"this cache {self.n_layers} of {self.length}",
                "use a donor prompt of equal length on the same model",
            )
        if part not in PARTS:
            raise PkvError(f"part '{part}' is unknown", "use K, V or KV")
        chosen = range(self.n_layers) if layers is None else layers
        _check_range("layer", chosen, self.n_layers)
        _check_range("position", positions, self.length)
        keys, values = list(self.keys), list(self.values)
        index = torch.as_tensor(list(positions), dtype=torch.long, device=keys[0].device)
        for layer in chosen:
            for mine, theirs, letter in ((keys, donor.keys, "K"), (values, donor.values, "V")):
                if letter in part:
                    edited = mine[layer].clone()
                    edited[:, :, index] = theirs[layer][:, :, index]
                    mine[layer] = edited
        regime, layout = one_regime((self.regime, donor.regime)), one_layout(self.layout, donor.layout)
        return FrozenCache(tuple(keys), tuple(values), regime, layout, self.pictured)


def _check_range(what: str, indices: Sequence[int], stop: int) -> None:
    for index in indices:
        index_below(index, stop, what)
