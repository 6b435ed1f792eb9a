"""Moving cached keys to other positions."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.rope import Rotary
from pkv_interp.cache.rotation import angles, rotations_of, turned_columns
from pkv_interp.errors import PkvError
from pkv_interp.indices import whole


def reposition(
    model: PreTrainedModel,
    cache: FrozenCache,
    delta: int,
    *,
    start: int = 0,
    source_length: int | None = None,
    target_length: int | None = None,
) -> FrozenCache:
    """The cache as if its tokens stood ``delta`` positions further on (arXiv 2606.17107, composing).

    Every key is turned once, in float32, by its layer's own inverse frequencies. Those of pictures are turned
    as those of text: their rows and columns are counted from where the picture begins. A rotation keeps
    lengths, so the attention scaling that keys carry (YaRN, longrope) stays as it was. What is not turned is
    shared.

    Args:
        model: the model that made the cache.
        cache: whose keys are turned; it is not changed.
        delta: positions to move by, either way; 0 gives the cache itself.
        start: position of the first column; where pictures are among the columns, the cache says it.
        source_length: length of the prefill that made the keys, when it is more than they reach: a slice of a
            cache that does not say its regime.
        target_length: length of the context that the moved keys are for, when it is more than they reach.
            Both lengths matter to rope types whose frequencies depend on them.

    Raises:
        PkvError: a position below 0 or past what the model serves; frequencies that differ between the two
            lengths (dynamic, longrope); queries that are scaled otherwise there, or other chunks; learned
            positions, ALiBi, recurrent state, a quantised cache.
    """
    check_movable(model, cache)
    delta, start = whole(delta, "delta"), whole(start, "start")
    where = None if cache.pictured is None or not cache.length else cache.pictured.places[0]
    if where is not None:
        start = int(where[0])  # the cache itself says where its columns stand
    rotations = rotations_of(model)
    if cache.n_layers != len(rotations.layers):
        raise PkvError(
            f"the cache has {cache.n_layers} layers, and {type(model).__name__} {len(rotations.layers)}",
            "use a cache that this model made",
        )
    end = start + cache.length if where is None else cache.end
    if cache.regime is not None:
        # Any length of the regime stands for all of them.
        source_length = cache.regime.length or min(end, cache.regime.boundary)
    source_length = end if source_length is None else max(end, source_length)
    reach = end + delta
    target_length = reach if target_length is None else max(reach, target_length)
    if cache.length and (start < 0 or start + delta < 0):
        raise PkvError(
            f"moving by {delta} puts the first of {cache.length} tokens at position {start + delta}",
            "positions start at 0",
        )
    if cache.length and target_length > rotations.limit:
        raise PkvError(
            f"moving by {delta} needs {target_length} positions, and {type(model).__name__} serves "
            f"{rotations.limit}",
            "keep the context shorter",
        )
    if cache.length == 0:
        return cache
    at = torch.arange(start, start + cache.length, device=cache.keys[0].device) if where is None else where
    for size in rotations.chunks:
        crossed = (at + delta) // size - at // size
        if bool((crossed != crossed[0]).any()):
            raise PkvError(
                f"{type(model).__name__} sees chunks of {size} tokens: moving by {delta} puts another of "
                f"{cache.length} tokens first in a chunk",
                f"move by a multiple of {size}, or prefill the chunk in place",
            )
    counted = at + rotations.counted
    if rotations.scaled and not torch.equal(
        counted // rotations.scaled, (counted + delta) // rotations.scaled
    ):
        told = "" if rotations.scaled == 1 else f" past each multiple of {rotations.scaled} tokens"
        raise PkvError(
            f"{type(model).__name__} scales its queries by position{told}: moving by {delta} changes values",
            "prefill the chunk in place" + (", or move it less far" if told else ""),
        )
    made: dict[int, tuple[Tensor, Tensor]] = {}

    def turns(rotary: Rotary) -> tuple[Tensor, Tensor]:
        if id(rotary) not in made:
            inverse = rotary.frequencies(source_length, target_length).to(at.device)
            by = angles(inverse, at, at + delta)
            made[id(rotary)] = by.cos().float(), by.sin().float()
        return made[id(rotary)]

    if delta == 0:
        for rotary in {id(r): r for r in rotations.layers if r is not None}.values():
            rotary.frequencies(source_length, target_length)  # refuses keys of another length
        return cache
    columns = [
        columns if rotary is None else turned_columns(columns, *turns(rotary), how)
        for columns, rotary, how in zip(
            zip(cache.keys, cache.values, strict=True), rotations.layers, rotations.turned, strict=True
        )
    ]
    keys, values = zip(*columns, strict=True)
    moved = None if cache.pictured is None else cache.pictured.moved(delta)
    return FrozenCache(keys, values, Positions.of(model).regime(target_length), cache.layout, moved)


def check_movable(model: PreTrainedModel, cache: FrozenCache | Cache) -> None:
    """Refuse a cache that holds no plain floating-point keys.

    Raises:
        PkvError: a cache of transformers, or quantised tensors.
    """
    if not isinstance(cache, FrozenCache):
        kind = type(cache).__name__
        quantised = "Quant" in kind or any(
            "Quant" in type(layer).__name__ for layer in getattr(cache, "layers", ())
        )
        raise PkvError(
            f"a {kind} cannot be repositioned" + (": its keys are quantised" if quantised else ""),
            "prefill with a plain cache and use FrozenCache.of",
        )
    if any(
        key.dtype not in (torch.float32, torch.float16, torch.bfloat16, torch.float64) for key in cache.keys
    ):
        raise PkvError(
            f"the cache of {type(model).__name__} is quantised ({cache.keys[0].dtype}), a rotation would "
            "turn codes and not keys",
            "keep the cache in float32, float16 or bfloat16",
        )
