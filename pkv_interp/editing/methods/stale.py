"""The floor that other methods are compared with."""

from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("stale", any_length=True)
def stale(state: State, change: Change) -> Outcome:
    """Nothing: the change stays unsaid, text and cache keep the old value."""
    del change
    return Outcome(state.layout, state.cache, 0, fresh=state.fresh)
