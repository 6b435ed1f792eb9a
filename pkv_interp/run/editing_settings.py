"""Kinds of values in the settings of experiments that edit."""

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

import pkv_interp
from pkv_interp.names import Amount, Written, method_amount
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.run.values import Name

_FOLDER = Path(pkv_interp.__file__).parent / "editing" / "methods"
_REGISTRY = "pkv_interp.editing.registry"


@dataclass(frozen=True)
class Declared:
    """A method as its file declares it."""

    amount: Amount = "none"
    required: bool = False


@cache
def declared_methods() -> dict[str, Declared]:
    """The packaged methods, read from their ``@register`` lines: to import them would take seconds."""
    found: dict[str, Declared] = {}
    for path in sorted(_FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "register":
                given = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
                amount: Amount = given.get("amount", "none")
                required = given.get("required", True) and amount != "none"
                found[ast.literal_eval(node.args[0])] = Declared(amount, required)
    return found


def methods_there_are() -> Mapping[str, Written]:
    """The packaged methods, and those that this process has registered."""
    registry = sys.modules.get(_REGISTRY)
    return {**declared_methods(), **(registry.METHODS if registry else {})}


def known_methods(names: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse editing methods that do not exist, and one that is named twice.

    Raises:
        ValueError: as pydantic wants it.
        PkvError: one does not, or its amount is missing, not wanted or not a number.
    """
    for name in names:
        method_amount(name, methods_there_are())
    if len(set(names)) < len(names):
        raise ValueError("name each method once")
    return names


def gives_the_value(wording: str) -> str:
    """Refuse a wording of an erratum that is not known and does not give the value."""
    erratum_line("field", "value", wording)
    return wording


#: Editing methods, each once.
Methods = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64), AfterValidator(known_methods)]
#: Wording of an erratum.
Erratum = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(gives_the_value)]
