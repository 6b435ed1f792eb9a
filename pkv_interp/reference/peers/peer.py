"""What every peer is asked for: margins of the decision under one patch a row."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache import FrozenCache
from pkv_interp.engine.path import WayPoint
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Intervention, KVPatch, ResidualEdit

#: Patches of runs over the whole prompt, and of runs of the decision token over a cache.
OVER_PROMPT: tuple[type[Any], ...] = (HeadPatch, ResidualEdit)
OVER_CACHE: tuple[type[Any], ...] = (HeadPatch, KVPatch)


@dataclass(frozen=True)
class Opened:
    """A prompt that is to be patched.

    Attributes:
        ids: of the whole prompt.
        cache: of all tokens but the last; None for a peer that runs the whole prompt every time.
    """

    ids: tuple[int, ...]
    cache: FrozenCache | None = None

    @property
    def known(self) -> FrozenCache:
        """The cache of a prompt that was opened with one.

        Raises:
            PkvError: it was opened without.
        """
        if self.cache is None:
            raise PkvError("the prompt was opened without a cache", "open it with the peer that reads it")
        return self.cache


class Peer(ABC):
    """One way to patch with another library.

    Attributes:
        name: in tables.
        tool: name of the library.
        takes: kinds of patches that it gives exactly as the engine does, and `WayPoint` where it gives
            effects on the way to a donor.
        batch: rows that it runs together.
    """

    name: ClassVar[str]
    tool: ClassVar[str]
    takes: ClassVar[tuple[type[Any], ...]]
    batch: int = 1

    @property
    def cached(self) -> bool:
        """Whether it reads a cached prefix."""
        return KVPatch in self.takes

    @abstractmethod
    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt, with its prefix run where the peer reads a cache."""

    @abstractmethod
    def sweep(
        self, base: Opened, rows: Sequence[Intervention], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, " rows"]:
        """Margins of the base, in logits, each under one patch.

        Args:
            base: as ``open`` gave it.
            rows: patches of one of the kinds in ``takes``; those of heads fall on the decision token.
            donor: run with capture "prefill"; what patches without a vector of their own take from.
            action_ids: the margin is the first one's logit minus the second's.
        """

    def attribute(
        self, base: Opened, donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "L H"] | None:
        """First-order effects of the decision token's heads; None where the library has no gradients."""
        del base, donor, action_ids

    def path_effects(
        self, base: Opened, points: Sequence[WayPoint], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "points H"]:
        """First-order effects of a layer's heads at points on the way to the donor, as the engine's.

        Raises:
            PkvError: the library's gradients are not used for it; `WayPoint` is not among what it ``takes``.
        """
        del base, points, donor, action_ids
        raise PkvError(f"{self.name} gives no effects on the way to a donor", "ask one that takes WayPoint")


def margin(logits: Float[Tensor, " vocab"], action_ids: tuple[int, int]) -> Float[Tensor, ""]:
    """First action's logit minus the second's, float32."""
    return logits[action_ids[0]].float() - logits[action_ids[1]].float()


def edited_cache(cache: FrozenCache, row: Intervention, donor: Prefill) -> DynamicCache:
    """A cache to decode over, with the columns of a KV patch in place; a patch of heads changes none."""
    if isinstance(row, KVPatch):
        cache = cache.replace(row.positions, donor.cache, row.layers, row.part)
    return cache.view()


def stacked_cache(cache: FrozenCache, rows: Sequence[Intervention], donor: Prefill) -> DynamicCache:
    """One cache of as many sequences as rows, each with its own row's columns in place."""
    each = [
        cache.replace(row.positions, donor.cache, row.layers, row.part) if isinstance(row, KVPatch) else cache
        for row in rows
    ]
    stacked = DynamicCache()
    for index in range(cache.n_layers):
        layer = DynamicLayer()
        keys, values = (torch.cat([getattr(one, part)[index] for one in each]) for part in ("keys", "values"))
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        stacked.layers.append(layer)
    return stacked


def effects(
    gradients: Sequence[Tensor], mine: Sequence[Tensor], donor: Prefill, n_heads: int
) -> Float[Tensor, "L H"]:
    """Gradient times difference, summed over each head's width.

    Args:
        gradients: of the margin to the decision token's z, one per layer, any shape of H * d_head numbers.
        mine: that z.
        donor: whose z is put in.
        n_heads: H.
    """
    slopes = torch.stack([one.reshape(n_heads, -1) for one in gradients]).float()
    own = torch.stack([one.detach().reshape(n_heads, -1) for one in mine])
    return (slopes * (donor.z - own).float()).sum(-1)


def groups(rows: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Rows in runs of at most ``size``."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
