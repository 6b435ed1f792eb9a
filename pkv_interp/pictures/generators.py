"""Ten generators: each draws a scene and asks one question of it, every answer as often as the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pkv_interp.pictures.questions import Question, questions_of
from pkv_interp.pictures.scenes import Scene, Split, Thing, draw_scene
from pkv_interp.pictures.words import COLOURS, NUMBERS

Draw = Callable[[np.random.Generator, Split], Scene]


@dataclass(frozen=True)
class Generator:
    """One kind of picture and question.

    Attributes:
        name: of the kind; its questions have it as their kind.
        category: ``perception`` of one thing, or ``reasoning`` over several.
        scene: draws what a picture shows.
    """

    name: str
    category: str
    scene: Draw


@dataclass(frozen=True)
class Asked:
    """A scene and the question that is asked of it."""

    scene: Scene
    question: Question


def _distinct(values: Sequence[str]) -> bool:
    return len(set(values)) == len(values)


def single(rng: np.random.Generator, split: Split) -> Scene:
    """One thing."""
    return draw_scene(rng, split, 1)


def several(rng: np.random.Generator, split: Split) -> Scene:
    """One to six things."""
    return draw_scene(rng, split, int(rng.integers(1, 7)))


def coloured(rng: np.random.Generator, split: Split) -> Scene:
    """A few things of one colour among others: none to four of it."""
    colour, wanted = rng.choice(COLOURS), int(rng.integers(5))
    count = int(rng.integers(max(1, wanted), 7))

    def fits(things: Sequence[Thing]) -> bool:
        mine = sum(thing.colour == colour for thing in things)
        return mine <= wanted and len(things) - mine <= count - wanted

    return draw_scene(rng, split, count, fits)


def of_different_shapes(rng: np.random.Generator, split: Split) -> Scene:
    """Two to four things, no two of one shape."""
    return draw_scene(rng, split, int(rng.integers(2, 5)), lambda ts: _distinct([t.shape for t in ts]))


def of_different_colours(rng: np.random.Generator, split: Split) -> Scene:
    """Two to four things, no two of one colour."""
    return draw_scene(rng, split, int(rng.integers(2, 5)), lambda ts: _distinct([t.colour for t in ts]))


def with_large(rng: np.random.Generator, split: Split) -> Scene:
    """Two to five things, of which one is large."""
    scene = draw_scene(rng, split, int(rng.integers(2, 6)))
    return replace(scene, things=(replace(scene.things[0], large=True), *scene.things[1:]))


def pair(rng: np.random.Generator, split: Split) -> Scene:
    """Two things that share their colour in half of the pictures, and their shape in half of them."""
    colour, shape = rng.integers(2), rng.integers(2)

    def fits(things: Sequence[Thing]) -> bool:
        if len(things) < 2:
            return True
        one, other = things
        return ((one.colour == other.colour), (one.shape == other.shape)) == (bool(colour), bool(shape))

    return draw_scene(rng, split, 2, fits)


GENERATORS: Mapping[str, Generator] = {
    one.name: one
    for one in (
        Generator("colour", "perception", single),
        Generator("shape", "perception", single),
        Generator("place", "perception", single),
        Generator("count", "reasoning", several),
        Generator("count_colour", "reasoning", coloured),
        Generator("colour_of", "reasoning", of_different_shapes),
        Generator("shape_of", "reasoning", of_different_colours),
        Generator("side", "reasoning", of_different_shapes),
        Generator("largest", "reasoning", with_large),
        Generator("same", "reasoning", pair),
    )
}


def asked(name: str, rng: np.random.Generator, split: Split) -> Asked:
    """A scene of a generator and one of its questions, scenes without one drawn again.

    Args:
        name: of the generator.
        rng: what is drawn from.
        split: of the things.
    """
    generator = GENERATORS[name]
    while True:
        scene = generator.scene(rng, split)
        found = [question for question in questions_of(scene) if question.kind == name]
        if name == "count_colour":
            found = _balanced(rng, found)
        if found:
            return Asked(scene, found[int(rng.integers(len(found)))])


def _balanced(rng: np.random.Generator, found: list[Question]) -> list[Question]:
    """Questions with one answer, drawn among those that the scene has: most colours are not there at all."""
    answers = sorted({question.answer for question in found}, key=NUMBERS.index)
    chosen = answers[int(rng.integers(len(answers)))]
    return [question for question in found if question.answer == chosen]
