"""What the picture model learns from: prompts of each layout in which it is used, of several questions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from pkv_interp.pictures.drawing import patches, picture
from pkv_interp.pictures.generators import GENERATORS, asked, single, with_large
from pkv_interp.pictures.prompts import (
    Piece,
    asks,
    filler,
    hoisted_mode,
    joined,
    mode_erratum,
    mode_field,
    shown,
)
from pkv_interp.pictures.questions import Question, by_mode, questions_of
from pkv_interp.pictures.scenes import SIDE, Scene, Split
from pkv_interp.pictures.words import BOS, IMAGE, MODES, VOCABULARY

#: Longest preface and filler in tokens, and the most questions that one prompt asks.
PREFACE, BETWEEN, QUESTIONS = 64, 16, 8
#: Longest preface of a step's prompts: most steps have short ones.
_LONGEST = (0, 0, 8, 8, 24, PREFACE)
_TWO, _TWO_HARD, _BY_MODE = 0.35, 0.5, 0.3
#: What is asked first: of one thing at a time, told by itself or found by its shape, colour or size.
SIMPLE = ("colour", "shape", "place", "count", "colour_of", "shape_of", "largest")
#: What takes several looks.
HARD = ("count_colour", "side", "same")
#: What prompts are drawn from beside the settings of a training, as JSON holds it.
MIXTURE = {"two": [_TWO, _TWO_HARD], "by_mode": _BY_MODE, "hard": list(HARD)}
#: Which questions a step asks.
Level = Literal["simple", "all", "hard"]
_IDS = {word: at for at, word in enumerate(VOCABULARY)}
_SPACED = str.maketrans({mark: f" {mark} " for mark in ".,:?"})


@dataclass(frozen=True)
class Example:
    """One prompt with its pictures.

    Attributes:
        ids: tokens, questions and answers included.
        targets: positions that are followed by an answer, each the last token of a question.
        kinds: what is asked there.
        scenes: of its pictures, in order.
        named: positions of words that name one thing, each with the cell of that thing.
        ordered: positions of picture tokens, of words that name a thing and of targets, each with the picture
            that it is about; none where there is one picture.
    """

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    kinds: tuple[str, ...]
    scenes: tuple[Scene, ...]
    named: tuple[tuple[int, int], ...]
    ordered: tuple[tuple[int, int], ...]


def encode(text: str) -> list[int]:
    """Ids of words and marks, as the tokenizer gives them."""
    return [_IDS[word] for word in text.translate(_SPACED).split()]


def examples(
    rng: np.random.Generator, n: int, split: Split = "train", *, level: Level = "all"
) -> list[Example]:
    """Prompts of one step: with as many pictures and prefaces about as long, so that little is filled up.

    Args:
        rng: what is drawn from.
        n: how many.
        split: of the things in the pictures.
        level: ``simple`` is one picture, no preface, and questions of the kinds in ``SIMPLE``; ``hard`` asks
            more about two pictures, and three times as much of the kinds in ``HARD``.
    """
    if level == "simple":
        return [_about(rng, split, 0, 1, SIMPLE) for _ in range(n)]
    kinds = tuple(GENERATORS) if level == "all" else (*GENERATORS, *HARD * 2)
    count = 1 + int(rng.random() < (_TWO if level == "all" else _TWO_HARD))
    longest = int(rng.choice(_LONGEST))
    return [
        _by_mode(rng, split, longest)
        if count == 1 and rng.random() < _BY_MODE
        else _about(rng, split, longest, count, kinds)
        for _ in range(n)
    ]


def _about(
    rng: np.random.Generator, split: Split, longest: int, count: int, kinds: tuple[str, ...]
) -> Example:
    drawn = [asked(kinds[int(rng.integers(len(kinds)))], rng, split) for _ in range(count)]
    pools = [_by_kind(questions_of(one.scene), kinds) for one in drawn]
    first = int(rng.integers(count))
    questions = [(first, drawn[first].question)]
    while len(questions) < QUESTIONS:
        which = int(rng.integers(count))
        questions.append((which, _one_of(rng, pools[which])))
    field = mode_field(MODES[int(rng.integers(len(MODES)))]) if rng.random() < 0.2 else ""
    return _written(
        _before(rng, field, count, longest),
        [(None if count == 1 else which, q) for which, q in questions],
        tuple(one.scene for one in drawn),
    )


def _by_kind(questions: list[Question], kinds: tuple[str, ...]) -> list[list[Question]]:
    """Questions by what they ask: of some kinds a scene has many, of others one."""
    found = [[question for question in questions if question.kind == kind] for kind in kinds]
    return [part for part in found if part]


def _one_of(rng: np.random.Generator, pools: list[list[Question]]) -> Question:
    pool = pools[int(rng.integers(len(pools)))]
    return pool[int(rng.integers(len(pool)))]


def _by_mode(rng: np.random.Generator, split: Split, longest: int) -> Example:
    scene = (single if rng.random() < 0.5 else with_large)(rng, split)
    value = MODES[int(rng.integers(len(MODES)))]
    field, update, how = mode_field(value), "", rng.random()
    if how < 0.4:
        value = MODES[int(rng.integers(len(MODES)))]
        field, update = (field, mode_erratum(value)) if how < 0.2 else hoisted_mode(value)
    first = by_mode(scene, value)
    assert first is not None  # both kinds of scene have a subject
    pieces = [*_before(rng, field, 1, longest), Piece(update)]
    others = _by_kind(questions_of(scene), tuple(GENERATORS))
    more = [_one_of(rng, others) for _ in range(QUESTIONS - 3)]
    return _written(pieces, [(None, q) for q in (first, *more)], (scene,))


def _before(rng: np.random.Generator, field: str, count: int, longest: int) -> list[Piece]:
    """Preface, field and pictures; the field stands before or after the pictures."""
    preface = Piece(filler(rng, int(rng.integers(longest + 1))))
    between = [Piece(filler(rng, int(rng.integers(min(longest, BETWEEN) + 1)))) for _ in range(2)]
    early = rng.random() < 0.5
    if not field:
        return [preface, *shown(count), between[0]]
    if early:
        return [preface, Piece(field), between[0], *shown(count), between[1]]
    return [preface, *shown(count), between[0], Piece(field), between[1]]


def _written(
    pieces: list[Piece],
    questions: list[tuple[int | None, Question]],
    scenes: tuple[Scene, ...],
) -> Example:
    ids = [_IDS[BOS], *encode(joined(pieces))]
    targets, kinds, named, ordered = [], [], [], []
    if len(scenes) > 1:
        shown_at = [at for at, token in enumerate(ids) if token == _IDS[IMAGE]]
        ordered += [(at, number // SIDE**2) for number, at in enumerate(shown_at)]
    for which, question in questions:
        words = encode(asks(question.text, which))
        names = [(len(ids) + words.index(_IDS[word]), cell) for word, cell in question.named]
        ids += words
        targets.append(len(ids) - 1)
        named += names
        if which is not None:
            ordered += [(at, which) for at in (*(at for at, _ in names), len(ids) - 1)]
        kinds.append(question.kind)
        ids += [_IDS[question.answer], _IDS["."]]
    return Example(tuple(ids), tuple(targets), tuple(kinds), scenes, tuple(named), tuple(ordered))


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples side by side, filled up at their ends.

    Attributes:
        ids: padded tokens.
        images: 1 where a token is of a picture.
        pixels: patches of all pictures, one after the other.
        grids: frames, rows and columns of each picture.
        rows: of each target its example.
        targets: of each target its position.
        answers: of each target the right token.
        kinds: of each target what is asked.
        named: row, position and cell of each word that names one thing.
        ordered: row, position and number of the picture of each token that is about one of two.
    """

    ids: Int[Tensor, "rows tokens"]
    images: Int[Tensor, "rows tokens"]
    pixels: Float[Tensor, "patches values"]
    grids: Int[Tensor, "pictures 3"]
    rows: Int[Tensor, " targets"]
    targets: Int[Tensor, " targets"]
    answers: Int[Tensor, " targets"]
    kinds: tuple[str, ...]
    named: Int[Tensor, "names 3"]
    ordered: Int[Tensor, "tokens 3"]


def batch_of(examples: list[Example]) -> Batch:
    """Draw the pictures and put the examples side by side."""
    longest = max(len(one.ids) for one in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    for row, one in enumerate(examples):
        ids[row, : len(one.ids)] = torch.tensor(one.ids)
    cut = [patches(picture(scene)) for one in examples for scene in one.scenes]
    rows = [row for row, one in enumerate(examples) for _ in one.targets]
    targets = [at for one in examples for at in one.targets]
    return Batch(
        ids,
        (ids == _IDS[IMAGE]).int(),
        torch.from_numpy(np.concatenate([values for values, _ in cut])),
        torch.tensor([grid for _, grid in cut]),
        torch.tensor(rows),
        torch.tensor(targets),
        ids[torch.tensor(rows), torch.tensor(targets) + 1],
        tuple(kind for one in examples for kind in one.kinds),
        _by_row([one.named for one in examples]),
        _by_row([one.ordered for one in examples]),
    )


def _by_row(told: list[tuple[tuple[int, int], ...]]) -> Int[Tensor, "n 3"]:
    """Row, position and what is told there."""
    lines = [(row, at, value) for row, one in enumerate(told) for at, value in one]
    return torch.tensor(lines, dtype=torch.long).view(-1, 3)
