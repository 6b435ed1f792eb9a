"""The edit that looks right and leaves the notes as they were."""

from pkv_interp.editing.attention import own_and_links
from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("field_only")
def field_only(state: State, change: Change) -> Outcome:
    """The field's own tokens are run again with the new value; everything after it stays stale.

    What stands before the field does not depend on it, so its new columns are those of a full re-prefill
    (the in-place edit of arXiv 2606.17107, section on editing). Where the field is isolated nothing else
    depends on it either, but for links, which are run with it: the edit is exact.
    """
    place, layout = in_place(state, change), state.cache.layout
    positions = own_and_links(layout, place.own)
    computed = state.context.runner.recompute(state.cache, positions, place.tokens(positions))
    # What was appended belongs to the last block, and has read the old value.
    exact = layout is not None and layout.isolates(place.own) and len(place.ids) <= layout.end
    return Outcome(place.layout, computed.cache, len(positions), fresh=state.fresh and exact)
