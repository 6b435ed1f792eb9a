"""Checks of settings that several experiments share."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

from pkv_interp.editing.registry import find
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.tasks import families, split_of

#: Bootstrap draws; fewer give no interval worth the name.
Draws = Annotated[int, Field(ge=100)]
N = TypeVar("N", bound=Sequence[float])


def rising(values: N) -> N:
    """Refuse an empty list, and one that does not rise.

    Raises:
        ValueError: as pydantic wants it.
    """
    if not values or any(a >= b for a, b in pairwise(values)):
        raise ValueError("give at least one, each once and in rising order")
    return values


def of_split(names: tuple[str, ...] | None, split: str | None, least: int) -> tuple[str, ...] | None:
    """Refuse families of the other split, named twice, or too few; None stands for the whole split.

    Raises:
        ValueError: as pydantic wants it.
    """
    # A family that ranks sites and scores them as well would make every score too good.
    stray = [family.name for family in families(names or ()) if split_of(family.name) != split]
    if stray:
        raise ValueError(f"'{stray[0]}' is of the other split")
    if names is not None and len(set(names)) < max(least, len(names)):
        raise ValueError(f"name at least {('one family', 'two families')[least - 1]}, each once")
    return names


def several(names: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Refuse a single family: intervals and tests are over families, and one alone has neither.

    Raises:
        ValueError: as pydantic wants it.
    """
    if names is not None and len({family.name for family in families(names)}) < 2:
        raise ValueError("name at least two families")
    return names


def known_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse editing methods that do not exist, and one that is named twice.

    Raises:
        ValueError: as pydantic wants it.
    """
    for name in names:
        find(name, {})
    if len(set(names)) < len(names):
        raise ValueError("name each method once")
    return names


def gives_the_value(wording: str) -> str:
    """Refuse a wording of an erratum that is not known and does not give the value."""
    erratum_line("field", "value", wording)
    return wording


#: Scenario families, two or more; None stands for all.
SeveralFamilies = Annotated[tuple[str, ...] | None, AfterValidator(several)]
#: Editing methods, each once.
Methods = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(known_methods)]
#: Wording of an erratum.
Erratum = Annotated[str, AfterValidator(gives_the_value)]
