"""Session fields that decide nothing, and pairs of their values that take one token length."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pkv_interp.errors import PkvError

Flip = Literal["minor", "semantic"]
FLIPS: tuple[Flip, ...] = ("minor", "semantic")
_DRAWN = 15
_WILDCARDS = {"#": "123456789", "x": "0123456789abcdef"}


@dataclass(frozen=True)
class SessionField:
    """A field that decides nothing.

    Attributes:
        name: its label in the session block.
        pattern: of its values, ``#`` a digit from 1 and ``x`` a hexadecimal digit; or None.
        groups: its values when it has no pattern, near ones in one group.
        soft_rule: a policy line that names a value (``{value}``) and changes no action, or None.
    """

    name: str
    pattern: str | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    soft_rule: str | None = None


def candidates(field: SessionField, rng: np.random.Generator) -> tuple[str, dict[Flip, list[str]]]:
    """A new value, and by flip the old values that it may have had, in random order."""
    if field.pattern is None:
        groups = [[group[int(i)] for i in rng.permutation(len(group))] for group in field.groups]
        mine = groups.pop(int(rng.integers(len(groups))))
        far = [value for group in groups for value in group]
        return mine[0], {"minor": mine[1:], "semantic": [far[int(i)] for i in rng.permutation(len(far))]}
    places = [i for i, letter in enumerate(field.pattern) if letter in _WILDCARDS]
    new = _filled(field.pattern, field.pattern, places, rng)
    return new, {
        "minor": [_filled(new, field.pattern, places[-1:], rng) for _ in range(_DRAWN)],
        "semantic": [_filled(new, field.pattern, places, rng) for _ in range(_DRAWN)],
    }


def _filled(text: str, pattern: str, places: list[int], rng: np.random.Generator) -> str:
    """``text`` with another character at each of the places."""
    letters = list(text)
    for place in places:
        allowed = _WILDCARDS[pattern[place]].replace(letters[place], "")
        letters[place] = allowed[int(rng.integers(len(allowed)))]
    return "".join(letters)


def aligned_flips(
    field: SessionField, rng: np.random.Generator, tokenizer: Any
) -> tuple[str, dict[Flip, str]]:
    """A new value and by flip an old one that takes as many tokens in the session block.

    Raises:
        PkvError: no such values were found; the line lists candidates with their lengths.
    """

    def shape(value: str) -> tuple[int, int]:
        """Tokens of the line's end, and how many of them are the value's (a blank may be one of its own)."""
        text = f": {value}\n"
        offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        anchors = [min(end - len(text[start:end].lstrip()), end - 1) for start, end in offsets]
        return len(offsets), sum(2 <= at < 2 + len(value) for at in anchors)

    seen: dict[str, tuple[int, int]] = {}
    for _ in range(_DRAWN):
        new, olds = candidates(field, rng)
        seen |= {value: shape(value) for value in (new, *olds["minor"], *olds["semantic"])}
        fit = {flip: [old for old in olds[flip] if seen[old] == seen[new]] for flip in FLIPS}
        if fit["minor"] and fit["semantic"]:
            return new, {flip: fit[flip][0] for flip in FLIPS}
    listed = ", ".join(f"'{value}' {n}" for value, (_, n) in list(seen.items())[:_DRAWN])
    raise PkvError(
        f"'{field.name}' has no minor and semantic flip of one token length; candidates: {listed}",
        "add values of one length to the session_fields of the scenario file",
    )
