"""Texts that carry marks: what is drawn as words is found again in tokens, without a search for the words.

Marks are characters of Unicode's private use area, put around a piece before a template is filled and taken
out of the whole text at the end, so that any wording may stand around the piece.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.errors import PkvError

#: What is marked: the field that decides, other fields, the rule, the links after it, a block of the prompt.
FIELD, OTHER, RULE, LINKS, BLOCK = "field", "other", "rule", "links", "block"
_OPEN = {FIELD: "\ue000", OTHER: "\ue001", LINKS: "\ue002", BLOCK: "\ue003", RULE: "\ue004"}
_CLOSE = {FIELD: "\ue010", OTHER: "\ue011", LINKS: "\ue012", BLOCK: "\ue013", RULE: "\ue014"}
_KIND = {mark: (kind, True) for kind, mark in _OPEN.items()} | {
    mark: (kind, False) for kind, mark in _CLOSE.items()
}


@dataclass(frozen=True)
class Mark:
    """A marked stretch of a text, in characters, half open."""

    kind: str
    start: int
    stop: int

    def moved(self, by: int) -> "Mark":
        """The same stretch of a text that stands ``by`` characters further on."""
        return Mark(self.kind, self.start + by, self.stop + by)


def marked(kind: str, text: str) -> str:
    """The text between marks."""
    return f"{_OPEN[kind]}{text}{_CLOSE[kind]}"


def read(text: str) -> tuple[str, tuple[Mark, ...]]:
    """The text without its marks, and what they marked, in the order in which it begins.

    Raises:
        PkvError: a mark has no other end.
    """
    kept: list[str] = []
    opened: list[tuple[str, int]] = []
    found: list[Mark] = []
    for character in text:
        kind, opens = _KIND.get(character, ("", False))
        if not kind:
            kept.append(character)
        elif opens:
            opened.append((kind, len(kept)))
        elif opened and opened[-1][0] == kind:
            found.append(Mark(kind, opened.pop()[1], len(kept)))
        else:
            raise PkvError(f"the end of a {kind} has no beginning", "mark whole pieces")
    if opened:
        raise PkvError(f"a {opened[0][0]} has no end", "mark whole pieces")
    return "".join(kept), tuple(sorted(found, key=lambda mark: (mark.start, -mark.stop)))


def tokens_of(text: str, offsets: Sequence[tuple[int, int]], mark: Mark) -> tuple[int, int]:
    """The tokens of a marked stretch, half open; a blank before a word belongs to the word.

    Args:
        text: that was tokenised.
        offsets: the characters of each token.
        mark: in characters of the text.

    Raises:
        PkvError: it has no token of its own.
    """
    inside = []
    for at, (start, stop) in enumerate(offsets):
        anchor = start
        while anchor < stop - 1 and text[anchor].isspace():
            anchor += 1
        if stop > start and mark.start <= anchor < mark.stop:
            inside.append(at)
    if not inside:
        raise PkvError(f"a {mark.kind} has no token of its own", "draw another wording")
    return inside[0], inside[-1] + 1
