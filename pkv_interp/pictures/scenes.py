"""What is in a picture: things in cells, and to which split each belongs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.pictures.words import COLOURS, PLACES, SHAPES

#: Cells to a side, and pixels to a cell: one picture token of 2 x 2 patches of 14 pixels.
SIDE, CELL = 4, 28
#: Share of the placed things that training never sees.
HELD_OUT = 0.2
_TRIES = 10_000

Split = Literal["train", "held_out"]


@dataclass(frozen=True)
class Thing:
    """One coloured shape in a cell.

    Attributes:
        shape: one of ``SHAPES``.
        colour: one of ``COLOURS``.
        cell: from 0 at the upper left, row by row.
        large: it fills its cell; at most one in a picture does.
    """

    shape: str
    colour: str
    cell: int
    large: bool = False

    @property
    def row(self) -> int:
        """From the top."""
        return self.cell // SIDE

    @property
    def column(self) -> int:
        """From the left."""
        return self.cell % SIDE

    @property
    def place(self) -> str:
        """The quarter of the picture that it is in."""
        return PLACES[2 * (self.row >= SIDE // 2) + (self.column >= SIDE // 2)]


@dataclass(frozen=True)
class Scene:
    """What a picture shows.

    Attributes:
        things: each in a cell of its own.
        look: a number from which offsets, shades and sizes are drawn, so that a scene has one picture.
    """

    things: tuple[Thing, ...]
    look: int

    def only(self, wanted: Callable[[Thing], bool]) -> Thing | None:
        """The one thing that is as wanted; None where there are none or several."""
        found = [thing for thing in self.things if wanted(thing)]
        return found[0] if len(found) == 1 else None


def split_of(shape: str, colour: str, cell: int) -> Split:
    """The split that a thing at a place belongs to, by a hash of the three."""
    digest = hashlib.sha256(f"{shape} {colour} {cell}".encode()).digest()
    return "held_out" if digest[0] < HELD_OUT * 256 else "train"


@lru_cache(maxsize=2)
def placed_things(split: Split) -> tuple[Thing, ...]:
    """All things at all places of a split."""
    return tuple(
        Thing(shape, colour, cell)
        for shape in SHAPES
        for colour in COLOURS
        for cell in range(SIDE * SIDE)
        if split_of(shape, colour, cell) == split
    )


def draw_scene(
    rng: np.random.Generator,
    split: Split,
    count: int,
    fits: Callable[[Sequence[Thing]], bool] = bool,
) -> Scene:
    """Things of a split, each in a cell of its own, drawn until they fit.

    Args:
        rng: what is drawn from.
        split: which placed things may be used.
        count: how many things.
        fits: is asked after each thing that is added: a thing that does not fit is drawn again.

    Raises:
        PkvError: nothing fits.
    """
    pool = placed_things(split)
    things: list[Thing] = []
    for index in rng.integers(len(pool), size=_TRIES):
        if len(things) == count:
            return Scene(tuple(things), int(rng.integers(2**31)))
        thing = pool[index]
        if all(one.cell != thing.cell for one in things) and fits([*things, thing]):
            things.append(thing)
        elif rng.random() < 0.002:
            things = []  # a beginning that nothing completes
    raise PkvError(f"no {count} things of the {split} split fit together", "ask for fewer")
