"""Personas: many settings that are on or off, and questions about a few of them whose answer follows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.memory.words import CATEGORIES, FEATURES, NOTES, THINGS, TITLE, VALUES
from pkv_interp.errors import PkvError, short
from pkv_interp.memory import Memory, field
from pkv_interp.streams import stream

#: Settings that a persona can have.
MOST = len(THINGS) * len(FEATURES)
#: Names that could be drawn, over those that are: the fewer, the more settings share a word.
_SPARE = 1.3


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: unique in its persona.
        category, note: stand beside it and say nothing about it.
        on: its value.
    """

    name: str
    category: str
    note: str
    on: bool

    @property
    def value(self) -> str:
        """As it is written."""
        return VALUES[0] if self.on else VALUES[1]


@dataclass(frozen=True)
class Question:
    """Are all of these settings on?

    Attributes:
        names: of the settings that decide.
        violator: the one that is off; None where none is. There is never a second one.
    """

    names: tuple[str, ...]
    violator: str | None

    @property
    def gold(self) -> bool:
        """Whether the answer is yes."""
        return self.violator is None

    @property
    def toggled(self) -> tuple[str, bool]:
        """The setting whose change turns the answer, and whether it is on after that."""
        return (self.names[0], False) if self.violator is None else (self.violator, True)


@dataclass(frozen=True)
class Persona:
    """Settings in the order in which they are written.

    Attributes:
        instance: names the persona.
        settings: no two of one name.
    """

    instance: str
    settings: tuple[Setting, ...]

    @classmethod
    def of(cls, instance: str, settings: Sequence[Setting]) -> Persona:
        """Check and keep them.

        Raises:
            PkvError: none, or two settings of one name.
        """
        names = [one.name for one in settings]
        if not names:
            raise PkvError(f"the persona '{instance}' has no setting", "give it at least one")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise PkvError(
                f"the persona '{instance}' has the setting {short(twice)} twice",
                "give each setting a name of its own",
            )
        return cls(instance, tuple(settings))

    @property
    def values(self) -> Mapping[str, bool]:
        """Whether each setting is on, by name."""
        return {one.name: one.on for one in self.settings}

    def held(self, names: Sequence[str]) -> tuple[bool, ...]:
        """Whether each of some settings is on."""
        values = self.values
        return tuple(values[name] for name in names)

    def memory(self) -> Memory:
        """Its settings as one block of a memory, a line each."""
        parts = [part for one in self.settings for part in line_of(one)]
        return Memory([parts], title=TITLE)

    def changed(self, name: str, on: bool) -> Persona:
        """Another persona, in which one setting has another value.

        Raises:
            PkvError: there is no such setting.
        """
        if name not in self.values:
            raise PkvError(f"the persona '{self.instance}' has no setting {short(name)}", "name one it has")
        made = tuple(replace(one, on=on) if one.name == name else one for one in self.settings)
        return replace(self, settings=made)

    def beside(self, names: Sequence[str]) -> str:
        """A setting that is not among ``names``; one that shares a word with them, where any does."""
        words = {word for name in names for word in name.split()}
        others = [one.name for one in self.settings if one.name not in names]
        return next((name for name in others if words & set(name.split())), others[-1])


def line_of(one: Setting) -> tuple[object, ...]:
    """The line of a setting, as parts of a block of a memory."""
    return (f"- [{one.category}] {one.name}: ", field(one.name, one.value), f" ({one.note})\n")


def persona(seed: int, number: int, size: int) -> Persona:
    """A persona whose settings are half on and half off, and share words with one another.

    Args:
        seed: of the run.
        number: of the persona.
        size: settings.

    Raises:
        PkvError: more settings than there are names.
    """
    if size > MOST:
        raise PkvError(f"a persona of {size} settings was asked for", f"there are names for {MOST}")
    rng = stream(seed, "memory", "persona", number, size)
    things, features = _sides(size)
    some = [
        np.sort(rng.choice(len(THINGS), things, replace=False)),
        rng.choice(len(FEATURES), features, False),
    ]
    pairs = [(int(a), int(b)) for a in some[0] for b in some[1]]
    names = [f"{THINGS[pairs[i][0]]} {FEATURES[pairs[i][1]]}" for i in rng.choice(len(pairs), size, False)]
    on = rng.permutation([i % 2 == 0 for i in range(size)])
    return Persona.of(
        f"{size}-{number}",
        [
            Setting(name, _pick(rng, CATEGORIES), _pick(rng, NOTES), bool(on[i]))
            for i, name in enumerate(names)
        ],
    )


def _sides(size: int) -> tuple[int, int]:
    """How many things and features names are made of."""
    things = min(len(THINGS), math.ceil(math.sqrt(size * _SPARE * len(THINGS) / len(FEATURES))))
    return things, min(len(FEATURES), math.ceil(size * _SPARE / things))


def _pick(rng: np.random.Generator, among: Sequence[str]) -> str:
    return among[int(rng.integers(len(among)))]


def questions(
    of: Persona, relevant: int, seed: int, *, each: int = 1, near: bool | None = None
) -> list[Question]:
    """Questions about a persona, as many to be answered with yes as with no.

    Args:
        of: the persona.
        relevant: settings that decide.
        seed: of the run.
        each: of either answer.
        near: the settings stand in lines as close to one another as there are; False: as far apart. None:
            anywhere.

    Raises:
        PkvError: too few settings are on.
    """
    rng = stream(seed, "memory", "questions", of.instance, relevant)
    made: list[Question] = []
    for _ in range(each):
        for gold in (True, False):
            made.append(_question(of, relevant, gold, near, rng))
    return made


def _question(
    of: Persona, relevant: int, gold: bool, near: bool | None, rng: np.random.Generator
) -> Question:
    on = [i for i, one in enumerate(of.settings) if one.on]
    off = [i for i, one in enumerate(of.settings) if not one.on]
    wanted = relevant if gold else relevant - 1
    if wanted > len(on) or (not gold and not off):
        raise PkvError(
            f"a question about {relevant} settings was asked of the persona '{of.instance}', and "
            f"{len(on)} of its {len(of.settings)} are on",
            "ask about fewer settings, or of a larger persona",
        )
    first = int(rng.choice(on if gold else off))
    left = [i for i in on if i != first]
    if near is None:
        rest = [int(i) for i in rng.choice(left, relevant - 1, replace=False)]
    elif near:
        rest = sorted(left, key=lambda i: abs(i - first))[: relevant - 1]
    else:
        rest = _apart(first, left, relevant - 1)
    order = [int(i) for i in rng.permutation([first, *rest])]
    return Question(tuple(of.settings[i].name for i in order), None if gold else of.settings[first].name)


def _apart(first: int, left: Sequence[int], n: int) -> list[int]:
    """Of some lines, those that lie furthest from one another and from the first, one after another."""
    chosen: list[int] = []
    for _ in range(n):
        taken = [first, *chosen]
        chosen.append(max((i for i in left if i not in chosen), key=lambda i: min(abs(i - t) for t in taken)))
    return chosen


def answered(text: str, names: Sequence[str]) -> bool:
    """What follows from a memory as it is written, line by line: a slow twin of a question's gold.

    Args:
        text: of the memory.
        names: of the settings that decide.

    Raises:
        PkvError: a setting stands in no line of the text.
    """
    found: list[bool] = []
    for name in names:
        line = next((line for line in text.splitlines() if f"] {name}: " in line), None)
        if line is None:
            raise PkvError(f"no line of the memory gives {short(name)}", "ask about a setting that is there")
        found.append(line.partition(f"] {name}: ")[2].startswith(VALUES[0]))
    return all(found)
