"""Kinds of values in the settings of experiments that edit."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pkv_interp.editing.registry import find
from pkv_interp.prompts.errata import erratum_line


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


#: Editing methods, each once.
Methods = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(known_methods)]
#: Wording of an erratum.
Erratum = Annotated[str, AfterValidator(gives_the_value)]
