"""What a model is asked about pictures: prompts in three parts, whose middle one shows the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pkv_interp.errors import PkvError
from pkv_interp.pictures.drawing import digest, picture
from pkv_interp.pictures.generators import GENERATORS, asked, single, with_large
from pkv_interp.pictures.prompts import asks, filler, joined, mode_field, shown
from pkv_interp.pictures.questions import by_mode
from pkv_interp.pictures.scenes import Scene, Split
from pkv_interp.pictures.words import MODES
from pkv_interp.streams import stream

FieldPlace = Literal["before", "after"]
#: Kind of the questions that a field decides; they are no generator's.
BY_MODE = "mode"


@dataclass(frozen=True)
class Item:
    """One question about one picture or two.

    Attributes:
        kind: the generator's name, or ``mode``.
        category: ``perception``, ``reasoning``, or ``field`` where a field says what is asked.
        instance: its number among those of its kind.
        scenes: what the pictures show.
        head: words before the pictures; may be none.
        body: words with the pictures in them.
        tail: words after them, which end in the question.
        answer: the right word.
        options: the words that it is among.
    """

    kind: str
    category: str
    instance: str
    scenes: tuple[Scene, ...]
    head: str
    body: str
    tail: str
    answer: str
    options: tuple[str, ...]

    @property
    def family(self) -> str:
        """What intervals are drawn over: the kind."""
        return self.kind

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(part for part in (self.head, self.body, self.tail) if part)

    def after(self, n: int, seed: int = 0) -> Item:
        """The same with a preface of ``n`` words before it.

        Args:
            n: words, of which each is one token of our own tokenizer.
            seed: of the words.
        """
        return replace(self, head=filler(stream(seed, "preface", self.kind, self.instance), n))


def items(
    kinds: Sequence[str], n: int, *, pictures: int = 1, split: Split = "held_out", seed: int = 0
) -> list[Item]:
    """Questions of some generators about new pictures; with two, half of them about each.

    Args:
        kinds: names of generators.
        n: questions of each.
        pictures: one or two.
        split: of the things that the pictures show.
        seed: of everything drawn.

    Raises:
        PkvError: an unknown generator.
    """
    made = []
    for kind in kinds:
        if kind not in GENERATORS:
            raise PkvError(f"there is no generator '{kind}'", f"use {', '.join(GENERATORS)}")
        for number in range(n):
            rng = stream(seed, "items", split, pictures, kind, number)
            which = number % pictures
            drawn = [asked(kind, rng, split) for _ in range(pictures)]
            question = drawn[which].question
            made.append(
                Item(
                    kind,
                    GENERATORS[kind].category,
                    f"{pictures}-{number}",
                    tuple(one.scene for one in drawn),
                    "",
                    joined(shown(pictures)),
                    asks(question.text, None if pictures == 1 else which),
                    question.answer,
                    question.options,
                )
            )
    return made


@dataclass(frozen=True)
class FieldItem:
    """One picture and a field that decides what is asked of it, with one value and with another.

    Attributes:
        place: the field stands before or after the picture.
        old: the value that the cache was made with.
        new: the value after the edit.
        parts: words before the field's value, and after it, up to the question.
        question: the words of the question.
        before: the item with the old value.
        after: the item with the new one.
    """

    place: FieldPlace
    old: str
    new: str
    parts: tuple[str, str]
    question: str
    before: Item
    after: Item

    @property
    def family(self) -> str:
        """What intervals are drawn over: where the field stands, and the two values."""
        return f"{self.place}-{self.old}-{self.new}"

    @property
    def instance(self) -> str:
        """Its number."""
        return self.before.instance


def field_items(
    n: int, place: FieldPlace, *, split: Split = "held_out", seed: int = 0, gaps: tuple[int, int] = (4, 16)
) -> list[FieldItem]:
    """``n`` pictures for each ordered pair of values, with words between picture and field and after both.

    Args:
        n: pictures of each pair.
        place: of the field.
        split: of the things that the pictures show.
        seed: of everything drawn.
        gaps: words between picture and field, and before the question.
    """
    made = []
    for old in MODES:
        for new in (mode for mode in MODES if mode != old):
            for number in range(n):
                rng = stream(seed, "fields", split, place, old, new, number)
                scene = (single if rng.random() < 0.5 else with_large)(rng, split)
                shows = joined(shown(1))
                between, last = (filler(rng, words) for words in gaps)
                before, after = mode_field("|").split("|")
                if place == "before":
                    parts = (before, f"{after} {between} {shows} {last}")
                else:
                    parts = (f"{shows} {between} {before}", f"{after} {last}")
                sides = []
                for value in (old, new):
                    question = by_mode(scene, value)
                    assert question is not None  # both kinds of scene have a subject
                    whole = f"{parts[0]}{value}{parts[1]}"
                    instance = f"{place}-{old}-{new}-{number}"
                    sides.append(
                        Item(
                            BY_MODE,
                            "field",
                            instance,
                            (scene,),
                            "",
                            whole,
                            question.text,
                            question.answer,
                            question.options,
                        )
                    )
                made.append(FieldItem(place, old, new, parts, sides[0].tail, sides[0], sides[1]))
    return made


def names_of(items: Sequence[Item]) -> set[str]:
    """The sha256 of every picture that some items show."""
    return {digest(picture(scene)) for item in items for scene in item.scenes}
