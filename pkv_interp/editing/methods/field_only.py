"""The edit that looks right and leaves the notes as they were."""

from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("field_only")
def field_only(state: State, change: Change) -> Outcome:
    """The field's own tokens are run again with the new value; everything after it stays stale.

    What stands before the field does not depend on it, so its new columns are those of a full re-prefill
    (the in-place edit of arXiv 2606.17107, section on editing).
    """
    place = in_place(state, change)
    computed = state.context.runner.recompute(state.cache, place.own, place.tokens(place.own))
    return Outcome(place.layout, computed.cache, len(place.own))
