"""Questions about a picture, with their answers: one word each, which is one token."""

from __future__ import annotations

from dataclasses import dataclass

from pkv_interp.pictures.scenes import Scene, Thing
from pkv_interp.pictures.words import COLOURS, MODES, NUMBERS, PLACES, SHAPES

#: What is asked where a field says what to tell of the picture.
BY_MODE = "what is it by the mode ?"


@dataclass(frozen=True)
class Question:
    """One question, as words that end with a question mark.

    Attributes:
        kind: what it asks; the name of a generator.
        text: the words.
        answer: the right word.
        options: the words that it is among.
        named: words of the text that name one thing, each with the cell of that thing.
    """

    kind: str
    text: str
    answer: str
    options: tuple[str, ...]
    named: tuple[tuple[str, int], ...] = ()


def told(thing: Thing, mode: str) -> str:
    """What a mode says of a thing."""
    return str(getattr(thing, mode))


def subject(scene: Scene) -> Thing | None:
    """The thing that a field's question is about: the only one, or the large one."""
    return scene.things[0] if len(scene.things) == 1 else scene.only(lambda thing: thing.large)


def about_single(scene: Scene) -> list[Question]:
    """Colour, shape and place of the only thing."""
    if len(scene.things) != 1:
        return []
    only = scene.things[0]
    it = (("it", only.cell),)
    return [
        Question("colour", "what colour is it ?", only.colour, COLOURS, it),
        Question("shape", "what shape is it ?", only.shape, SHAPES, it),
        Question("place", "where is it ?", only.place, PLACES, it),
    ]


def about_largest(scene: Scene) -> list[Question]:
    """Colour and shape of the large thing among others."""
    large = scene.only(lambda thing: thing.large)
    if large is None or len(scene.things) == 1:
        return []
    it = (("largest", large.cell),)
    return [
        Question("largest", "what colour is the largest ?", large.colour, COLOURS, it),
        Question("largest", "what shape is the largest ?", large.shape, SHAPES, it),
    ]


def counts(scene: Scene) -> list[Question]:
    """How many things there are, in all and of each colour."""
    found = [Question("count", "how many things ?", NUMBERS[len(scene.things)], NUMBERS[1:])]
    for colour in COLOURS:
        number = sum(thing.colour == colour for thing in scene.things)
        if number < 5:
            text = f"how many {colour} things ?"
            found.append(Question("count_colour", text, NUMBERS[number], NUMBERS[:5]))
    return found


def about_named(scene: Scene) -> list[Question]:
    """The colour of the only thing of a shape, and the shape of the only one of a colour."""
    found = []
    for shape in SHAPES:
        if one := scene.only(lambda thing, s=shape: thing.shape == s):
            text, named = f"what colour is the {shape} ?", ((shape, one.cell),)
            found.append(Question("colour_of", text, one.colour, COLOURS, named))
    for colour in COLOURS:
        if one := scene.only(lambda thing, c=colour: thing.colour == c):
            text, named = f"what shape is the {colour} one ?", ((colour, one.cell),)
            found.append(Question("shape_of", text, one.shape, SHAPES, named))
    return found


def sides(scene: Scene) -> list[Question]:
    """Of two things that their shapes name: which is further left, and which further up."""
    found = []
    named = [t for t in scene.things if scene.only(lambda thing, s=t.shape: thing.shape == s)]
    for one in named:
        for other in named:
            both = ((one.shape, one.cell), (other.shape, other.cell))
            if one.column != other.column:
                side = "left" if one.column < other.column else "right"
                text = f"is the {one.shape} left or right of the {other.shape} ?"
                found.append(Question("side", text, side, ("left", "right"), both))
            if one.row != other.row:
                side = "above" if one.row < other.row else "below"
                text = f"is the {one.shape} above or below the {other.shape} ?"
                found.append(Question("side", text, side, ("above", "below"), both))
    return found


def sameness(scene: Scene) -> list[Question]:
    """Of two things: whether they share colour, or shape."""
    if len(scene.things) != 2:
        return []
    one, other = scene.things
    return [
        Question("same", f"same {what} ?", "yes" if same else "no", ("yes", "no"))
        for what, same in (("colour", one.colour == other.colour), ("shape", one.shape == other.shape))
    ]


def questions_of(scene: Scene) -> list[Question]:
    """All questions that a scene answers."""
    parts = (about_single, about_largest, counts, about_named, sides, sameness)
    return [question for part in parts for question in part(scene)]


def by_mode(scene: Scene, mode: str) -> Question | None:
    """The question that a field decides; None where the scene has no subject."""
    thing = subject(scene)
    if thing is None:
        return None
    options = (COLOURS, SHAPES, PLACES)[MODES.index(mode)]
    return Question("mode", BY_MODE, told(thing, mode), options, (("it", thing.cell),))
