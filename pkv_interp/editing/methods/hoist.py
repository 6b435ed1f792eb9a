"""The value at the end of the prompt, where nothing comes after it that could go stale."""

from pkv_interp.editing.cost import Stopwatch
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State


@register("hoist", any_length=True, placement="at the end")
def hoist(state: State, change: Change) -> Outcome:
    """The prompt is laid out so that the value stands in a line at its end; an edit runs that line anew.

    The field's old place says where to look. The first use prefills that layout, which counts as setup; every
    later edit of a hoisted state runs its tail only. This is surgery on the prompt: the model reads another
    text than the one that was asked for.
    """
    context, old = state.context, state.layout
    layout = old.with_hoist(context.renderer, change.field, change.value)
    watch = Stopwatch(state.cache.device)
    setup = 0
    if change.field in old.hoisted:
        start = old.start_of(old.notices(change.field)[0])
        before = state.cache.slice(0, start)
    else:
        before, setup = context.prefilled(layout.head)
        start = before.length
    took = watch.read()
    ids = layout.ids[start:]
    return Outcome(
        layout,
        context.runner.extend(before, ids).cache,
        len(ids),
        fresh=state.fresh or change.field not in old.hoisted,
        prompt_surgery=True,
        setup_tokens=setup,
        setup_milliseconds=took if setup else 0.0,
    )
