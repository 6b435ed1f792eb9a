"""True recompute of the field and some tokens after it."""

from pkv_interp.editing.in_place import chosen, in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("recompute", amount="count", options=("ranking",))
def recompute(state: State, change: Change) -> Outcome:
    """The field and K tokens after it are run again, against each other and the stale rest.

    ``ranking`` gives positions, best first; without it the most recent are taken.
    """
    place = in_place(state, change)
    positions = sorted({*place.own, *chosen(place, change)})
    computed = state.context.runner.recompute(state.cache, positions, place.tokens(positions))
    return Outcome(place.layout, computed.cache, len(positions))
