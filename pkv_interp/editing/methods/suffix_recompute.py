"""Everything from the field on, or the field and the end with the middle moved along."""

from dataclasses import replace

from pkv_interp.cache.reposition import reposition
from pkv_interp.composing.splice import join
from pkv_interp.editing.in_place import check_place, count
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError


@register("suffix_recompute", amount="count", required=False, any_length=True, placement="in place")
def suffix_recompute(state: State, change: Change) -> Outcome:
    """The text is written again as for ``full_reprefill``, and run from the field on.

    What stands before the field is kept as the cache has it. With an amount, only the field and the last K
    tokens are run: the middle is kept stale, and its keys are turned to their new positions where the value
    has another length.
    """
    if change.amount is not None:
        return _keep_middle(state, change)
    old = state.layout
    layout = old.rewritten(state.context.renderer, change.field, change.value)
    ids = layout.ids
    start = min(_common(old.ids, ids), layout.spans[change.field][0])
    before = replace(state.cache.slice(0, start), layout=state.context.attention(layout.head))
    computed = state.context.runner.extend(before, ids[start:])
    return Outcome(layout, computed.cache, len(ids) - start, fresh=state.fresh)


def _keep_middle(state: State, change: Change) -> Outcome:
    """The field, then the middle as it was, then the last tokens run after both.

    Raises:
        PkvError: as ``check_place``; more tokens than stand after the field; keys that cannot be turned.
    """
    check_place(state, change)
    runner, old, field = state.context.runner, state.layout, change.field
    new = old.with_value(state.context.renderer, field, change.value)
    before, after = old.ids, new.ids
    start = min(_common(before, after), new.spans[field][0])
    kept = min(
        _common(before[::-1], after[::-1]),
        len(before) - old.spans[field][1],
        len(after) - new.spans[field][1],
    )
    last = count(change, kept)
    attention = state.context.attention(new.head)
    before_field = replace(state.cache.slice(0, start), layout=attention)
    head = runner.extend(before_field, after[start : len(after) - kept])
    middle = state.cache.slice(len(before) - kept, len(before) - last)
    if len(after) != len(before):
        delta, at = len(after) - len(before), len(before) - kept
        try:
            middle = reposition(runner.model, middle, delta, start=at, target_length=len(after))
        except PkvError as error:
            raise PkvError(
                error.cause, "use suffix_recompute without an amount, erratum, hoist or full_reprefill"
            ) from error
    cache = replace(join([head.cache, middle]), layout=attention)
    if last:
        cache = runner.extend(cache, after[len(after) - last :]).cache
    return Outcome(new, cache, len(after) - kept - start + last)


def _common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Number of tokens with which both begin."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
