"""Everything from the field on, or the field and the end."""

from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("suffix_recompute", any_length=True)
def suffix_recompute(state: State, change: Change) -> Outcome:
    """The text is written again as for ``full_reprefill``, and run from the field on.

    What stands before the field is kept as the cache has it.
    """
    old = state.layout
    layout = old.rewritten(state.context.renderer, change.field, change.value)
    ids = layout.ids
    same = next((i for i, (a, b) in enumerate(zip(old.ids, ids, strict=False)) if a != b), len(ids))
    start = min(same, layout.spans[change.field][0])
    computed = state.context.runner.extend(state.cache.slice(0, start), ids[start:])
    return Outcome(layout, computed.cache, len(ids) - start)
