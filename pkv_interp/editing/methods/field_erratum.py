"""The field refreshed in its place and an erratum after the stale rest."""

from dataclasses import replace

from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.methods.erratum import append_erratum
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("field_erratum", options=("wording",))
def field_erratum(state: State, change: Change) -> Outcome:
    """The field's tokens are run again and an erratum is appended; the old notes between them stay.

    This is the patched old cache with the line after it. It is not a clean prefill of the new text with an
    erratum: there the notes would have been written from the new value.
    """
    place = in_place(state, change, beside_notices=True)
    computed = state.context.runner.recompute(state.cache, place.own, place.tokens(place.own))
    patched = replace(state, layout=place.layout, cache=computed.cache, fresh=False)
    made = append_erratum(patched, change)
    return replace(made, tokens=made.tokens + len(place.own))
