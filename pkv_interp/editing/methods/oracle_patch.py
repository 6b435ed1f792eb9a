"""An oracle: it needs the full re-prefill that an edit is meant to save."""

from pkv_interp.editing.in_place import chosen, in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("oracle_patch", amount="count", options=("ranking",))
def oracle_patch(state: State, change: Change) -> Outcome:
    """Oracle: the field's columns and K others are pasted from the full prefill of the new text.

    It says how much the chosen columns carry, not what an edit costs: its cost is that of the prefill. The
    positions are chosen as for ``recompute``.
    """
    place = in_place(state, change)
    donor = state.context.runner.prefill(place.ids, state.cache.layout).cache
    positions = sorted({*place.own, *chosen(place, change)})
    return Outcome(place.layout, state.cache.replace(positions, donor), len(place.ids))
