"""Selection by the difference of values at an early layer."""

from pkv_interp.cache.early import EARLY_LAYER, most_moved
from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError


@register("cacheblend", amount="share", options=("layer",))
def cacheblend(state: State, change: Change) -> Outcome:
    """The field and the share of tokens after it whose early values moved most are run again.

    After CacheBlend (arXiv 2405.16444): everything from the field on is run up to the layer ``layer``, the
    tokens are ranked by the squared difference of their values there from the cached ones, and the share is
    recomputed in all layers. The run up to that layer counts in the cost as the part of the model that it is.
    """
    place = in_place(state, change)
    layer = change.options.get("layer", EARLY_LAYER)
    if not isinstance(layer, int):
        raise PkvError(f"layer {layer!r} is no number", f"use 1 to {state.cache.n_layers - 1}")
    n = round(float(change.amount or 0.0) * len(place.after))
    start, runner = place.own[0], state.context.runner
    moved = most_moved(runner, state.cache, start, place.ids[start:], place.after, n, layer)
    positions = sorted({*place.own, *moved})
    computed = runner.recompute(state.cache, positions, place.tokens(positions))
    partial = (len(place.ids) - start) * layer / state.cache.n_layers
    return Outcome(place.layout, computed.cache, len(positions), partial=partial)
