"""Splicing chunks after a prefix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from pkv_interp.cache.attention_layout import AttentionLayout, joined
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.pictures import Pictured, joined_pictures
from pkv_interp.cache.regime import one_regime
from pkv_interp.cache.reposition import reposition
from pkv_interp.composing.chunk import Chunk
from pkv_interp.composing.identity import identity_of
from pkv_interp.errors import PkvError


def join(caches: Sequence[FrozenCache]) -> FrozenCache:
    """The columns of several caches side by side, as they are: a copy, nothing is turned.

    Raises:
        PkvError: shapes, dtypes, devices or rotary frequencies that differ.
    """
    if len(caches) == 1 and not caches[0].editable:
        return caches[0]  # a prefix alone; a state has no columns to copy
    if not all(cache.editable for cache in caches):
        raise PkvError("caches of a recurrent state cannot be joined", "append with Runner.extend")
    forms = {c.form for c in caches}
    if len(forms) != 1:
        told = "; ".join(sorted({_told(cache) for cache in caches}))
        raise PkvError(
            f"caches of {len(forms)} forms cannot be joined ({told or 'none was given'})",
            "give caches of one model, dtype and device",
        )
    layers = range(caches[0].n_layers)
    return FrozenCache(
        tuple(torch.cat([c.keys[i] for c in caches], 2) for i in layers),
        tuple(torch.cat([c.values[i] for c in caches], 2) for i in layers),
        one_regime(c.regime for c in caches if c.length),
        joined([(c.length, c.layout) for c in caches], sum(c.length for c in caches)),
        _pictures(caches),
    )


def _pictures(caches: Sequence[FrozenCache]) -> Pictured | None:
    """Where the columns of all stand; None where no picture is among them.

    Raises:
        PkvError: text of which it is not known where it stands, after another cache.
    """
    like = next((c.pictured.tokens for c in caches if c.pictured is not None), None)
    if like is None:
        return None
    if any(c.pictured is None and c.length for c in caches[1:]):
        raise PkvError("a cache of text does not say where it stands beside pictures", "use splice")
    placed = [Pictured.text(0, c.length, like) if c.pictured is None else c.pictured for c in caches]
    return joined_pictures([one for one in placed if one.length] or placed[:1])


def _told(cache: FrozenCache) -> str:
    heads = {(t.shape[1], t.shape[3]) for t in (*cache.keys, *cache.values)}
    kept = " and ".join(f"{n} heads of {width}" for n, width in sorted(heads))
    return f"{cache.n_layers} layers of {kept} in {cache.keys[0].dtype} on {cache.device}"


def closed(cache: FrozenCache) -> FrozenCache:
    """The columns of a blind chunk, whose layout says that they saw nothing before them."""
    layout, length = cache.layout or AttentionLayout(0), cache.length
    whole = replace(layout.within(0, length), end=length, blind=((0, length),))
    return replace(cache, layout=whole)


def splice(
    runner: Runner,
    prefix: FrozenCache,
    *chunks: Chunk,
    target_length: int | None = None,
    end: int | None = None,
) -> FrozenCache:
    """The prefix with chunks after it, each turned to the position where it comes to lie.

    The chunks stay blind to the prefix and to each other: their values, and what their keys saw, are those of
    their own prefill (arXiv 2606.17107, composing). The layout of the whole says so of chunks that were made
    as blind ones; for it the splice is exact. ``seam_repair`` computes other chunks anew from the seam on.

    Args:
        runner: the model that made them all.
        prefix: the columns from position 0 on; ``cache.slice(0, 0)`` for none.
        *chunks: in the order in which they are to stand.
        target_length: of the whole context, for rope types whose frequencies depend on it.
        end: where the last block begins, which alone sees isolated spans; by default right after the splice.

    Raises:
        PkvError: a chunk of another model, dtype or device, or one that cannot be moved there; a prefix or
            chunk whose rotary frequencies are not those of the whole; a prefix that goes on past the last
            block of its attention layout.
    """
    if not isinstance(prefix, FrozenCache):
        raise PkvError(
            f"a {type(prefix).__name__} is no prefix", "give a FrozenCache, as runner.prefill(ids).cache"
        )
    if prefix.layout is not None and prefix.layout.end < prefix.length:
        raise PkvError(
            f"the prefix goes on past its attention layout's last block, from {prefix.layout.end} on",
            "splice after prefix.slice(0, prefix.layout.end)",
        )
    mine = identity_of(runner.model)
    whole = max(target_length or 0, prefix.end + sum(chunk.extent for chunk in chunks))
    like = next((c.pictured.tokens for c in (prefix, *(one.cache for one in chunks)) if c.pictured), None)
    if chunks:
        runner.positions.check_cache(prefix, whole)
    parts, at = [prefix], prefix.end
    for number, chunk in enumerate(chunks, 1):
        if chunk.identity != mine:
            raise PkvError(
                f"chunk {number} was made by another model (weights, dtype or rope differ)",
                "precompile it with this model",
            )
        if chunk.cache.length != chunk.length:
            raise PkvError(
                f"chunk {number} has {chunk.length} tokens and {chunk.cache.length} columns",
                "make chunks with precompile",
            )
        moved = reposition(
            runner.model, chunk.cache, at - chunk.start, start=chunk.start, target_length=whole
        )
        if like is not None and moved.pictured is None:
            moved = replace(moved, pictured=Pictured.text(at, chunk.length, like))
        parts.append(closed(moved) if chunk.blind else moved)
        at += chunk.extent
    made = join(parts)
    if end is None or made.layout is None:
        return made
    return replace(made, layout=replace(made.layout, end=end))
