"""A line at the end that says what the value is now."""

from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State
from pkv_interp.prompts.errata import DEFAULT


@register("erratum", any_length=True, options=("wording",))
def erratum(state: State, change: Change) -> Outcome:
    """A line is appended that gives the new value; no column before it changes.

    By causality the result is, column by column, a prefill of the old text with the line after it. What the
    line achieves is the model's reading of an update against its own notes.
    """
    return append_erratum(state, change)


def append_erratum(state: State, change: Change) -> Outcome:
    """Run the erratum's tokens after the state's cache as it is.

    Raises:
        PkvError: an unknown wording.
    """
    wording = change.options.get("wording", DEFAULT)
    layout = state.layout.with_notice(state.context.renderer, change.field, change.value, wording)
    ids = layout.pieces[-1].ids
    return Outcome(layout, state.context.runner.extend(state.cache, ids).cache, len(ids), fresh=state.fresh)
