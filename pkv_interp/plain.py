"""What no setting takes, whatever its type."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unicodedata import category

#: Longest text and longest list that a setting takes.
LONGEST_TEXT, LONGEST_LIST = 4096, 256


def plain(value: Any, depth: int = 0) -> Any:
    """The value; what no setting takes is refused, at any depth of lists and mappings.

    Raises:
        ValueError: as pydantic wants it: a set, a number that is not finite, a text with control characters,
            or a text or a list that is too long.
    """
    if isinstance(value, set | frozenset):
        raise ValueError("a set has no order; give a list")
    # A number of numpy's or torch's, and none of their arrays: settings are of Python's types.
    if getattr(value, "shape", None) == () and callable(item := getattr(value, "item", None)):
        value = item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no finite number")
    if isinstance(value, str | Path):
        _plain_text(str(value))
    elif isinstance(value, Mapping | list | tuple):
        if len(value) > LONGEST_LIST or depth > 8:
            raise ValueError(f"{len(value)} entries are too many: at most {LONGEST_LIST}")
        if isinstance(value, Mapping):
            return {plain(key, depth + 1): plain(inner, depth + 1) for key, inner in value.items()}
        return (
            type(value)([plain(inner, depth + 1) for inner in value])
            if type(value) in (list, tuple)
            else value
        )
    return value


def _plain_text(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"a text of {len(text)} characters is too long: at most {LONGEST_TEXT}")
    if any(category(character) in ("Cc", "Zl", "Zp") for character in text):
        raise ValueError("the text has a control character in it, for example a line break")
