"""Text of a reader's own with its field marked: ``[[field: value | other value]]``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.errors import PkvError, short

#: How a field is written, for messages.
FORM = "write it as [[field: value | other value]]"
_MARK = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)


@dataclass(frozen=True)
class Field:
    """A value in a text.

    Attributes:
        name: what a notice of change calls it.
        value: as it stands in the clean prompt.
        other: as it stands in the corrupt one; None where it does not change.
    """

    name: str
    value: str
    other: str | None


Piece = str | Field


def pieces(text: str) -> list[Piece]:
    """Plain text and fields, in order.

    Raises:
        PkvError: brackets that are not closed, or a field that is not written as one.
    """
    found: list[Piece] = []
    end = 0
    for mark in _MARK.finditer(text):
        found += [_plain(text[end : mark.start()]), _field(mark[1], mark[0])]
        end = mark.end()
    return [piece for piece in [*found, _plain(text[end:])] if piece]


def the_varied(texts: Sequence[Sequence[Piece]]) -> Field:
    """The one field with two values.

    Raises:
        PkvError: there is none, or there are several, or a name stands twice.
    """
    fields = [piece for text in texts for piece in text if isinstance(piece, Field)]
    names = [field.name for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PkvError(f"the field '{twice}' stands twice", "give each field a name of its own")
    varied = [field for field in fields if field.other is not None]
    if not varied:
        raise PkvError("no field has two values, so there is nothing to compare", FORM)
    if len(varied) > 1:
        raise PkvError(
            f"the fields '{varied[0].name}' and '{varied[1].name}' both have two values",
            "give one of them a single value, as in [[field: value]]",
        )
    return varied[0]


def _plain(text: str) -> str:
    for bracket, other in (("[[", "]]"), ("]]", "[[")):
        if bracket in text:
            at = text.index(bracket)
            raise PkvError(
                f"'{bracket}' near {short(text[max(0, at - 12) : at + 20])} has no '{other}'", FORM
            )
    return text


def _field(inside: str, whole: str) -> Field:
    name, colon, rest = inside.partition(":")
    if not colon or not name.strip():
        raise PkvError(f"{short(whole)} has no name before a colon", FORM)
    values = [value.strip() for value in rest.split("|")]
    if len(values) > 2:
        raise PkvError(f"{short(whole)} has {len(values)} values", "give one value and one other")
    if not all(values):
        raise PkvError(f"{short(whole)} has an empty value", "name what is there, 'none' say")
    if len(values) == 2 and values[0] == values[1]:
        raise PkvError(f"the two values in {short(whole)} are the same", "give another value after the bar")
    return Field(name.strip(), values[0], values[1] if len(values) == 2 else None)
