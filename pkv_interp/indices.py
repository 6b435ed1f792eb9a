"""Numbers that callers count with: whole, and inside what they count. Python would wrap a negative one."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeVar

from pkv_interp.errors import PkvError, short

T = TypeVar("T")


def integer(value: Any) -> int | None:
    """The whole number that a value is, numpy's and a tensor of one included; None for truth values."""
    one = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    return int(one) if isinstance(one, Integral) and not isinstance(one, bool) else None


def whole(value: Any, what: str, least: int | None = None, hint: str = "") -> int:
    """A whole number.

    Args:
        value: as it was given.
        what: its name, for the message.
        least: the smallest that makes sense.
        hint: the way out.

    Raises:
        PkvError: it is none, or smaller.
    """
    number = integer(value)
    if number is None:
        raise PkvError(f"{what} is {short(value)}", hint or "give a whole number")
    if least is not None and number < least:
        raise PkvError(f"{what} is {number}", hint or f"give {least} or more")
    return number


def index_below(value: Any, stop: int, what: str) -> int:
    """An index from 0 to ``stop`` - 1.

    Raises:
        PkvError: it is no whole number, or out of range.
    """
    index = whole(value, what)
    if not 0 <= index < stop:
        raise PkvError(f"{what} {index} is out of range", f"use 0 to {stop - 1}")
    return index


def some(values: Sequence[T], what: str) -> Sequence[T]:
    """The values, of which there is at least one.

    Raises:
        PkvError: there is none.
    """
    if not len(values):
        raise PkvError(f"no {what} were given", "give at least one")
    return values
