"""The attention layout of a context: what its isolated fields ask for, or what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from pkv_interp.cache import AttentionLayout
from pkv_interp.errors import PkvError
from pkv_interp.prompts.rendering import Head

#: A layout in tokens of one text, or what makes one for each text that a context comes to have.
GivenLayout: TypeAlias = AttentionLayout | Callable[[Head], AttentionLayout | None]


def attention_of(head: Head, given: GivenLayout | None) -> AttentionLayout | None:
    """Who sees whom in a head; what is appended to it, the question and the answer are the last block.

    Args:
        head: rendered messages.
        given: the context's own layout, or what makes one.

    Raises:
        PkvError: a layout was given and fields are marked as isolated, or it is for a text of another length.
    """
    marked = [s.name for m in head.messages for s in m.segments if s.isolated and s.name]
    length = len(head.prompt.ids)
    if given is None:
        if not marked:
            return None
        return AttentionLayout(length, isolated=tuple(sorted(head.prompt.spans[name] for name in marked)))
    if marked:
        raise PkvError(
            f"the field '{marked[0]}' is isolated and the context has a layout of its own",
            "give one of the two",
        )
    if callable(given):
        return given(head)
    if given.end != length:
        raise PkvError(
            f"the layout's last block begins at {given.end}, and the context has {length} tokens",
            "mark fields as isolated instead, or keep values at their token length",
        )
    return given


def own_and_links(layout: AttentionLayout | None, own: tuple[int, ...]) -> tuple[int, ...]:
    """The positions that a change of the tokens ``own`` asks to run.

    These and, where they are isolated, what has read them: the rest of their span, and the links behind it.

    Args:
        layout: of the cache.
        own: positions, ascending.
    """
    if layout is None or not layout.isolates(own):
        return own
    return tuple(sorted({*own, *layout.read_by(own)}))
