"""Definitions of what edits of a cache give, by forwards of transformers' own; no mask or block of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from pkv_interp.cache import FrozenCache
from tests.hostile.models_of_positions import plain


def columns(cache: FrozenCache) -> list[torch.Tensor]:
    """All keys, then all values."""
    return [*cache.keys, *cache.values]


def of(tensors: Sequence[torch.Tensor]) -> FrozenCache:
    """The cache of ``columns``."""
    half = len(tensors) // 2
    return FrozenCache(tuple(tensors[:half]), tuple(tensors[half:]))


def pasted(cache: FrozenCache, positions: Sequence[int], donor: FrozenCache) -> FrozenCache:
    """The cache with the donor's columns at some positions."""
    made = [t.clone() for t in columns(cache)]
    for mine, theirs in zip(made, columns(donor), strict=True):
        for position in positions:
            mine[:, :, position] = theirs[:, :, position]
    return of(made)


def rerun(
    model: PreTrainedModel, cache: FrozenCache, positions: Sequence[int], ids: Sequence[int], length: int
) -> FrozenCache:
    """Each token alone, in order, over the columns before it as they then are.

    Args:
        model: a causal language model.
        cache: of the whole prompt.
        positions: ascending.
        ids: of the whole prompt.
        length: of the context that sets the rotary frequencies: a token at its end runs along.
    """
    for position in positions:
        grown: Any = cache.slice(0, position).view()
        places = torch.tensor([[position, length - 1]])
        with torch.no_grad():
            model(  # type: ignore[operator]
                input_ids=torch.tensor([[ids[position], ids[position]]]),
                position_ids=places,
                past_key_values=grown,
                use_cache=True,
            )
        one = FrozenCache.of(grown)
        parts = zip(columns(one), columns(cache), strict=True)
        cache = of([torch.cat((x[:, :, : position + 1], y[:, :, position + 1 :]), 2) for x, y in parts])
    return cache


def appended(model: PreTrainedModel, cache: FrozenCache, ids: Sequence[int]) -> FrozenCache:
    """The cache with tokens run after it in one forward."""
    return plain(model, ids, cache.length, cache)[0]
