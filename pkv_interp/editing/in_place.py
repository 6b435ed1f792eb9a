"""What an edit in place has to do: which tokens change, which come after, and which of those are chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.editing.layout import Layout
from pkv_interp.editing.registry import Change, any_length
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class InPlace:
    """A value of the same token length in the field's place.

    Attributes:
        layout: the text with the new value; everything else stands as before.
        ids: its tokens.
        own: positions of the field's tokens, and of any other that the value changes.
        after: positions after the field.
    """

    layout: Layout
    ids: tuple[int, ...]
    own: tuple[int, ...]
    after: range

    def tokens(self, positions: Sequence[int]) -> list[int]:
        """The new token at each position."""
        return [self.ids[position] for position in positions]


def fits(state: State, change: Change) -> bool:
    """Whether the value can be put in the field's place without moving or contradicting anything."""
    noticed = change.field in state.layout.hoisted or state.layout.notices(change.field)
    if noticed or not state.context.runner.edits_in_place:
        return False
    layout = state.layout.with_value(state.context.renderer, change.field, change.value)
    return layout.spans[change.field] == state.spans[change.field] and len(layout.ids) == len(state.ids)


def in_place(state: State, change: Change, *, beside_notices: bool = False) -> InPlace:
    """Put the value in the field's place.

    Args:
        state: the context as it stands.
        change: the field and its new value.
        beside_notices: an erratum about the field may stand further on.

    Raises:
        PkvError: the value has another token length, the field was hoisted, or an erratum that gives an
            older value would stand against the new one.
    """
    check_place(state, change, beside_notices=beside_notices)
    field, old = change.field, state.layout
    new = old.with_value(state.context.renderer, field, change.value)
    before, after = old.spans[field], new.spans[field]
    ids = new.ids
    if before != after or len(ids) != len(old.ids):
        room = f"{after[1] - after[0]} where '{field}' has {before[1] - before[0]}"
        if after[1] - after[0] == before[1] - before[0]:  # a blank or a neighbour is split otherwise
            room = f"{len(ids)} where the whole text has {len(old.ids)}"
            if len(ids) == len(old.ids):
                room = f"from position {after[0]} where '{field}' begins at {before[0]}"
        raise PkvError(
            f"'{change.value}' needs another number of tokens ({room}), and {change.method} moves nothing",
            f"use {any_length()}, or a value of equal length",
        )
    changed = {i for i, (a, b) in enumerate(zip(old.ids, ids, strict=True)) if a != b}
    own = tuple(sorted(changed | set(range(*after))))
    return InPlace(new, ids, own, range(own[-1] + 1, len(ids)))


def check_place(state: State, change: Change, *, beside_notices: bool = False) -> None:
    """Refuse an edit in place where the field has none, or where an older erratum would contradict it.

    Args:
        state: the context as it stands.
        change: the field and its new value.
        beside_notices: an erratum about the field may stand further on.

    Raises:
        PkvError: in those two cases.
    """
    field, old = change.field, state.layout
    if field in old.hoisted:
        raise PkvError(
            f"'{field}' was moved to the end of this state, so {change.method} has no place for it",
            "go on with hoist, or edit the base state",
        )
    if old.notices(field) and not beside_notices:
        raise PkvError(
            f"an erratum about '{field}' stands after it, and {change.method} would leave it there",
            "use erratum, field_erratum, hoist, suffix_recompute or full_reprefill",
        )


def chosen(place: InPlace, change: Change) -> list[int]:
    """The positions after the field that a method with an amount takes: the first of a ranking.

    The ranking is the option ``ranking`` (positions, best first) or, without one, the most recent first.

    Raises:
        PkvError: more were asked for than there are, or a ranked position is not after the field.
    """
    ranking = change.options.get("ranking")
    try:
        ranked = list(reversed(place.after)) if ranking is None else [int(i) for i in ranking]
    except (TypeError, ValueError) as error:
        raise PkvError(f"the ranking {ranking!r} is no list of positions", "give numbers") from error
    stray = [i for i in ranked if i not in place.after]
    if stray or len(set(ranked)) != len(ranked):
        raise PkvError(
            f"the ranking holds {f'position {stray[0]}' if stray else 'a position twice'}",
            f"rank positions {place.after.start} to {place.after.stop - 1}, each once",
        )
    return ranked[: count(change, len(ranked))]


def count(change: Change, available: int) -> int:
    """The amount as a number of tokens; ``all`` is all that there are.

    Raises:
        PkvError: more than there are.
    """
    amount = available if change.amount == math.inf else int(change.amount or 0)
    if amount > available:
        raise PkvError(
            f"{change.method} asks for {amount} tokens after '{change.field}' and there are {available}",
            f"use 0 to {available}, or all",
        )
    return amount
