"""Selection by the difference of values at an early layer."""

import torch

from pkv_interp.cache.early import early_values
from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError

#: The first layer whose values have read other tokens.
EARLY_LAYER = 1


@register("cacheblend", amount="share", options=("layer",))
def cacheblend(state: State, change: Change) -> Outcome:
    """The field and the share of tokens behind it whose early values moved most are run again.

    After CacheBlend (arXiv 2405.16444): everything from the field on is run up to the layer ``layer``, the
    tokens are ranked by the squared difference of their values there from the cached ones, and the share is
    recomputed in all layers. The run up to that layer counts in the cost as the part of the model that it is.
    """
    place = in_place(state, change)
    layer, n_layers = int(change.options.get("layer", EARLY_LAYER)), state.cache.n_layers
    if not 1 <= layer < n_layers:
        raise PkvError(f"layer {layer} cannot tell which tokens read the field", f"use 1 to {n_layers - 1}")
    n = round(float(change.amount or 0.0) * len(place.after))
    start, runner = place.own[0], state.context.runner
    fresh = early_values(runner, state.cache.slice(0, start), place.ids[start:], layer)
    moved = (fresh - state.cache.values[layer][:, :, start:]).float().square().sum((0, 1, 3))
    order = torch.argsort(moved[place.after.start - start :], descending=True, stable=True)
    positions = sorted({*place.own, *(place.after.start + i for i in order[:n].tolist())})
    computed = runner.recompute(state.cache, positions, place.tokens(positions))
    partial = (len(place.ids) - start) * layer / n_layers
    return Outcome(place.layout, computed.cache, len(positions), partial=partial)
