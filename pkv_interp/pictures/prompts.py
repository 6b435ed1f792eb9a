"""Prompts about pictures: a preface, pictures, a field, fillers, and questions with their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.pictures.scenes import SIDE
from pkv_interp.pictures.words import FILLERS, IMAGE, ORDINALS, VISION_END, VISION_START
from pkv_interp.prompts.errata import HOISTED, erratum_line

#: The span of one picture: the marks around it and a token for each of its cells.
PICTURE = f"{VISION_START} {' '.join([IMAGE] * SIDE * SIDE)} {VISION_END}"
#: The field that says what a question by the mode asks.
FIELD = "mode"


@dataclass(frozen=True)
class Piece:
    """A piece of a prompt, as words apart by blanks.

    Attributes:
        text: the words; a picture's are ``PICTURE``.
        picture: the number of the picture that it shows, or None.
    """

    text: str
    picture: int | None = None

    @property
    def words(self) -> list[str]:
        """One per token."""
        return self.text.split()


def filler(rng: np.random.Generator, n: int) -> str:
    """Exactly ``n`` words without news, whole sentences but for the first."""
    words: list[str] = []
    while len(words) < n:
        words = [*FILLERS[int(rng.integers(len(FILLERS)))].split(), *words]
    return " ".join(words[len(words) - n :])


def shown(count: int) -> list[Piece]:
    """One or two pictures with the words that introduce them."""
    if count == 1:
        return [Piece("picture :"), Piece(PICTURE, 0), Piece(".")]
    return [
        piece
        for at in range(count)
        for piece in (Piece(f"{ORDINALS[at]} picture :"), Piece(PICTURE, at), Piece("."))
    ]


def mode_field(mode: str) -> str:
    """The field that says what is told of a picture."""
    return f"mode is {mode} ."


def mode_erratum(mode: str) -> str:
    """What the editing method ``erratum`` appends, word for word."""
    return erratum_line(FIELD, mode).strip()


def hoisted_mode(mode: str) -> tuple[str, str]:
    """What the method ``hoist`` leaves in the field's place, and the line at the end."""
    return mode_field(HOISTED), erratum_line(FIELD, mode, "bare").strip()


def asks(text: str, which: int | None = None) -> str:
    """A question; of which of two pictures, where there are two."""
    return text if which is None else f"in the {ORDINALS[which]} picture , {text}"


def joined(pieces: Sequence[Piece]) -> str:
    """The words of a prompt."""
    return " ".join(piece.text for piece in pieces if piece.text)
