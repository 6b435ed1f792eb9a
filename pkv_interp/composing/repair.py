"""Repair of spliced chunks: recompute some of their tokens in place."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.errors import PkvError

Span = tuple[int, int]
#: Layer whose values tell CacheBlend where a chunk deviates; layer 0 sees no context.
EARLY_LAYER = 1


def seam_repair(runner: Runner, cache: FrozenCache, span: Span, ids: Sequence[int], k: int) -> Computed:
    """Recompute a spliced chunk's first ``k`` tokens in its real context (arXiv 2606.17107, composing).

    A true recompute: in every layer the tokens read the columns before them as they are now. Keys and values
    that later tokens of the chunk made from the old ones stay.

    Args:
        span: positions of the chunk, half open.
        ids: tokens of the whole cache, one per column.
        k: how many; all of the chunk when it is shorter.

    Raises:
        PkvError: a span outside the cache, ids of another number, or k below 1.
    """
    return link_repair(runner, cache, [span], ids, k)


def link_repair(
    runner: Runner, cache: FrozenCache, spans: Sequence[Span], ids: Sequence[int], k: int
) -> Computed:
    """``seam_repair`` of several chunks in one forward (EPIC, arXiv 2410.15332: the link tokens of each)."""
    _check(cache, spans, ids)
    if k < 1:
        raise PkvError(f"k is {k}", "recompute at least one token, or keep the splice as it is")
    positions = [at for start, stop in spans for at in range(start, min(start + k, stop))]
    return runner.recompute(cache, positions, [ids[at] for at in positions])


def deviating_positions(
    runner: Runner,
    cache: FrozenCache,
    spans: Sequence[Span],
    ids: Sequence[int],
    share: float,
    layer: int = EARLY_LAYER,
) -> list[int]:
    """Positions of the chunks whose values at an early layer change most when they see their context.

    Args:
        share: of the chunks' tokens, above 0 and up to 1; at least one is chosen.
        layer: runs layers 0 to ``layer`` over the chunks' tokens, and no further.

    Raises:
        PkvError: a share or layer out of range, spans outside the cache, ids of another number.
    """
    _check(cache, spans, ids)
    if not 0.0 < share <= 1.0:
        raise PkvError(f"the share {share} is out of range", "use a number above 0 and up to 1")
    if not 0 < layer < cache.n_layers:
        raise PkvError(f"layer {layer} is out of range", f"use 1 to {cache.n_layers - 1}")
    positions = [at for start, stop in spans for at in range(start, stop)]
    shallow = FrozenCache(cache.keys[: layer + 1], cache.values[: layer + 1])
    fresh = (
        _first_layers(runner, layer + 1).recompute(shallow, positions, [ids[at] for at in positions]).cache
    )
    moved = _distance(fresh.values[layer], cache.values[layer])[positions]
    chosen = moved.topk(max(1, round(share * len(positions)))).indices.tolist()
    return sorted(positions[at] for at in chosen)


def cacheblend_repair(
    runner: Runner,
    cache: FrozenCache,
    spans: Sequence[Span],
    ids: Sequence[int],
    share: float,
    layer: int = EARLY_LAYER,
) -> Computed:
    """Recompute the share of the chunks' tokens that deviate most (after CacheBlend, arXiv 2405.16444).

    The tokens are chosen once, at ``layer``; the original narrows its choice layer by layer.

    Raises:
        PkvError: as ``deviating_positions``.
    """
    positions = deviating_positions(runner, cache, spans, ids, share, layer)
    return runner.recompute(cache, positions, [ids[at] for at in positions])


def _distance(one: Float[Tensor, "1 n T d"], two: Float[Tensor, "1 n T d"]) -> Float[Tensor, " T"]:
    return (one.float() - two.float()).pow(2).sum((0, 1, 3)).sqrt()


def _first_layers(runner: Runner, n: int) -> Runner:
    """A runner over the first ``n`` layers; modules are shared and the model itself stays as it was."""
    outer, inner = _shell(runner.model), _shell(runner.model.base_model)
    inner._modules["layers"] = nn.ModuleList(list(inner.layers)[:n])
    outer._modules[runner.model.base_model_prefix] = inner
    return Runner(outer, runner.windows[:n], runner.types[:n])


def _shell(module: Any) -> Any:
    """A module that shares everything with ``module`` but its table of children."""
    shell = copy.copy(module)
    shell._modules = dict(module._modules)
    return shell


def _check(cache: FrozenCache, spans: Sequence[Span], ids: Sequence[int]) -> None:
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
