"""Reading a preregistration: YAML, checked, with one line about the first thing that is wrong."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pkv_interp.errors import PkvError, short
from pkv_interp.run.preregistration import Preregistration

_HINT = "correct the file and commit it before anything is run"
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parse(text: str, name: str = "the preregistration") -> Preregistration:
    """The file's content, checked.

    Args:
        text: of the file.
        name: of the file, for the message.

    Raises:
        PkvError: it is no YAML, a key stands twice, or an entry is wrong; the line names the first.
    """
    try:
        root, data = yaml.compose(text, Loader=_Loader), yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise PkvError(f"{name} is not YAML: {str(error)[:120]}", _HINT) from error
    if twice := next(_twice(root), None):
        raise PkvError(f"{name}, line {twice[1]}: the key '{twice[0]}' stands twice", _HINT)
    try:
        return Preregistration.model_validate(data)
    except ValidationError as error:
        raise PkvError(f"{name}: {_told(error, data)}", _HINT) from error


def load(path: Path) -> Preregistration:
    """The file at a path, checked.

    Raises:
        PkvError: see `parse`, or it cannot be read.
    """
    try:
        return parse(path.read_text("utf-8"), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise PkvError(f"{path} cannot be read: {error}", "name a file that is there") from error


def _twice(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    """Keys that stand twice in one mapping, with the line of the second."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)
    elif isinstance(node, yaml.MappingNode):
        seen = set[str]()
        for key, value in node.value:
            if str(key.value) in seen:
                yield str(key.value), key.start_mark.line + 1
            seen.add(str(key.value))
            yield from _twice(value)


def _told(error: ValidationError, data: Any) -> str:
    """The first failed check in one line; an unknown key first: what else is wrong may follow from it."""
    details = error.errors()
    first = next((one for one in details if one["type"] == "extra_forbidden"), details[0])
    place = ".".join(_named(step, first["loc"][:at], data) for at, step in enumerate(first["loc"]))
    cause = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "extra_forbidden":
        return f"unknown key '{place}'"
    given = first["input"]
    value = f"={short(given)}" if isinstance(given, str | int | float | None) else ""
    return f"'{place}'{value}: {cause}" if place else cause


def _named(step: str | int, before: tuple[str | int, ...], data: Any) -> str:
    """A step of a location; of a claim in the list, its name."""
    if before != ("claims",) or not isinstance(step, int):
        return str(step)
    entry = data["claims"][step]
    name = entry.get("name") if isinstance(entry, dict) else None
    return name if isinstance(name, str) and name else f"number {step + 1}"
