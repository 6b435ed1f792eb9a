"""The first tokens of every chunk."""

from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.layout import Layout
from pkv_interp.editing.registry import Change, Outcome, register
from pkv_interp.editing.state import State

#: Link tokens of a chunk where none are asked for.
LINKS = 8


@register("epic", amount="count", required=False)
def epic(state: State, change: Change) -> Outcome:
    """The field and the first K tokens of every chunk after it are run again (K = 8 unless given).

    After EPIC (arXiv 2410.15332), which recomputes such link tokens where chunks are joined. Chunks here are
    paragraphs, messages and appended pieces.
    """
    place = in_place(state, change)
    links = float(LINKS) if change.amount is None else change.amount
    starts = [*chunk_starts(place.layout), len(place.ids)]
    linked = {
        position
        for start, stop in zip(starts, starts[1:], strict=False)
        for position in range(start, int(min(stop, start + links)))
        if position in place.after
    }
    positions = sorted({*place.own, *linked})
    computed = state.context.runner.recompute(state.cache, positions, place.tokens(positions))
    return Outcome(place.layout, computed.cache, len(positions))


def chunk_starts(layout: Layout) -> list[int]:
    """Positions at which a paragraph, a message or a piece begins, ascending."""
    prompt = layout.head.prompt
    starts, before, inside = {0}, "", False
    for position, (token, kind) in enumerate(zip(prompt.tokens, prompt.kinds, strict=True)):
        opens = kind != "template"
        if token.strip() and ((opens and not inside) or before.endswith("\n\n")):
            starts.add(position)
        inside = opens
        before = (before + token)[-2:]
    return sorted(starts | {layout.start_of(index) for index in range(len(layout.pieces))})
