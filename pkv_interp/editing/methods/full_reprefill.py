"""The reference that every method is compared with."""

from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("full_reprefill", any_length=True, placement="in place")
def full_reprefill(state: State, change: Change) -> Outcome:
    """The text is written again with the value in its place, and prefilled from its first token.

    Errata about the field are left out of that text; everything else that was appended stays.
    """
    context = state.context
    layout = state.layout.rewritten(context.renderer, change.field, change.value)
    ids = layout.ids
    cache = context.runner.prefill(ids, context.attention(layout.head)).cache
    return Outcome(layout, cache, len(ids), fresh=True)
