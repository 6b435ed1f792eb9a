"""Places in a record that break a rule, named by JSON pointer (RFC 6901)."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError


@dataclass(frozen=True)
class Finding:
    """What is wrong and where; the pointer is relative to the part that was validated.

    ``newer`` says that nothing is wrong but that the record is of a later version than this program.
    """

    pointer: str
    cause: str
    newer: bool = False


def escape(part: object) -> str:
    """One step of a JSON pointer."""
    return "/" + str(part).replace("~", "~0").replace("/", "~1")


def find_not_finite(value: object) -> str | None:
    """Pointer to the first NaN or infinity inside JSON-like ``value``, or None."""
    if isinstance(value, float):
        return None if math.isfinite(value) else ""
    items: Iterable[tuple[object, object]] = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, Sequence) and not isinstance(value, str):
        items = enumerate(value)
    for name, inner in items:
        found = find_not_finite(inner)
        if found is not None:
            return escape(name) + found
    return None


def first_duplicate(keys: Iterable[Hashable]) -> int | None:
    """Index of the first key that was seen before, or None."""
    seen: set[Hashable] = set()
    for index, key in enumerate(keys):
        if key in seen:
            return index
        seen.add(key)
    return None


def findings_of(error: ValidationError, document: object) -> list[Finding]:
    """Every complaint of pydantic as pointer and cause.

    Steps that pydantic adds for the members of a union ("str", "int") are not in the document and are
    dropped, and the complaints of several members about one value become one.
    """
    found: dict[str, list[str]] = {}
    for entry in error.errors(include_url=False):
        pointer, here = "", document
        for step in entry["loc"]:
            if isinstance(here, Mapping) and step in here:
                here = here[step]
            elif isinstance(here, Sequence) and not isinstance(here, str) and isinstance(step, int):
                here = here[step] if 0 <= step < len(here) else None
            elif entry["type"] != "missing" or step != entry["loc"][-1]:
                continue
            pointer += escape(step)
        inner = entry.get("ctx", {}).get("findings")
        for finding in inner or [Finding("", entry["msg"])]:
            causes = found.setdefault(pointer + finding.pointer, [])
            if finding.cause not in causes:
                causes.append(finding.cause)
    return [Finding(pointer or "/", " or ".join(causes)) for pointer, causes in found.items()]
