"""Repair of spliced chunks: recompute some of their tokens in place."""

from __future__ import annotations

from collections.abc import Sequence

from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.early import EARLY_LAYER, most_moved
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.errors import PkvError
from pkv_interp.ids import TokenIds, as_ids
from pkv_interp.indices import whole

Span = tuple[int, int]


def seam_repair(runner: Runner, cache: FrozenCache, span: Span, ids: TokenIds, k: int) -> Computed:
    """Recompute a spliced chunk's first ``k`` tokens in its real context (arXiv 2606.17107, composing).

    A true recompute: in every layer the tokens read the columns before them as they are now. Keys and values
    that later tokens of the chunk made from the old ones stay.

    Args:
        runner: the model.
        cache: with the chunk spliced in; it is not changed.
        span: positions of the chunk, half open.
        ids: tokens of the whole cache, one per column.
        k: how many tokens; all of the chunk when it is shorter.

    Raises:
        PkvError: a span outside the cache, ids of another number, or k below 1.
    """
    return link_repair(runner, cache, [span], ids, k)


def link_repair(runner: Runner, cache: FrozenCache, spans: Sequence[Span], ids: TokenIds, k: int) -> Computed:
    """``seam_repair`` of several chunks at once (EPIC, arXiv 2410.15332: the link tokens of each)."""
    ids = _check(cache, spans, ids)
    k = whole(k, "k", 1)
    positions = [at for start, stop in spans for at in range(start, min(start + k, stop))]
    return runner.recompute(cache, positions, [ids[at] for at in positions])


def deviating_positions(
    runner: Runner,
    cache: FrozenCache,
    spans: Sequence[Span],
    ids: TokenIds,
    share: float,
    layer: int = EARLY_LAYER,
) -> list[int]:
    """Positions of the chunks whose values at an early layer change most when they see their context.

    Args:
        runner: the model.
        cache: with the chunks spliced in.
        spans: positions of each chunk, half open, in order.
        ids: tokens of the whole cache, one per column.
        share: of the chunks' tokens, above 0 and up to 1; at least one is chosen.
        layer: the tokens from the first chunk on are run up to its values, and no further.

    Raises:
        PkvError: a share or layer out of range, spans outside the cache, ids of another number.
    """
    ids = _check(cache, spans, ids)
    if not 0.0 < share <= 1.0:
        raise PkvError(f"the share {share} is out of range", "use a number above 0 and up to 1")
    start, stop = spans[0][0], spans[-1][1]
    positions = [at for first, last in spans for at in range(first, last)]
    n = max(1, round(share * len(positions)))
    return most_moved(runner, cache, start, ids[start:stop], positions, n, layer)


def cacheblend_repair(
    runner: Runner,
    cache: FrozenCache,
    spans: Sequence[Span],
    ids: TokenIds,
    share: float,
    layer: int = EARLY_LAYER,
) -> Computed:
    """Recompute the share of the chunks' tokens that deviate most (after CacheBlend, arXiv 2405.16444).

    The tokens are chosen once, at ``layer``; the original narrows its choice layer by layer.

    Raises:
        PkvError: as ``deviating_positions``.
    """
    ids = as_ids(ids)
    positions = deviating_positions(runner, cache, spans, ids, share, layer)
    return runner.recompute(cache, positions, [ids[at] for at in positions])


def _check(cache: FrozenCache, spans: Sequence[Span], ids: TokenIds) -> tuple[int, ...]:
    """The ids in one form, when there is one per column and the spans lie among them."""
    ids = as_ids(ids)
    spans = [(whole(start, "a span's start"), whole(stop, "a span's stop")) for start, stop in spans]
    if len(ids) != cache.length:
        raise PkvError(
            f"{len(ids)} ids for a cache of {cache.length} tokens", "give the ids of the whole cache"
        )
    ends = [0, *(at for span in spans for at in span), cache.length]
    if not spans or ends != sorted(ends) or any(start == stop for start, stop in spans):
        raise PkvError(
            f"the spans {list(spans)} do not lie one after another in {cache.length} tokens",
            "give the half-open span of each chunk, in order",
        )
    blind = () if cache.layout is None else cache.layout.blind
    if any(start < last and first < stop for start, stop in spans for first, last in blind):
        raise PkvError(
            "tokens of a blind chunk see each other alone, so that a repair changes nothing",
            "precompile the chunk without blind, or leave the repair out",
        )
    return ids
