"""The course on memories: a list of settings, what was said, and rules about one or two of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.training import memory_words as words
from pkv_interp.training.courses import Memories
from pkv_interp.training.draws import filler, pick, two
from pkv_interp.training.examples import Example, Turn
from pkv_interp.training.layout_course import paired_batches
from pkv_interp.training.losses import micro_batches, supervised_losses
from pkv_interp.training.schedule import Stage
from pkv_interp.training.tokens import TokenSequence, encode_example
from pkv_interp.training.trainer import Course
from pkv_interp.training.vocabulary import ACTIONS

#: Draws of a pair whose answers are one token each.
_TRIES = 400
#: Salt of the random streams.
_STREAM = 18
#: Share of lessons whose answers are yes and no; the others have two actions.
_YES_NO = 0.6
#: Sentences of what was said at most.
_SAID = 6


@dataclass(frozen=True)
class _Rule:
    """What one turn asks.

    Attributes:
        deciding: lines of the settings that it reads.
        wanted: the value that it asks of them.
        answers: where all of them have it, and where one has not.
    """

    deciding: tuple[int, ...]
    wanted: str
    answers: tuple[str, str]

    def turn(self, rng: np.random.Generator, names: Sequence[str], right: bool, before: str = "") -> Turn:
        """The turn with its answer.

        Args:
            rng: draws the wording.
            names: of all settings.
            right: all have the value.
            before: stands before the rule.
        """
        yes, no = self.answers
        told = pick(rng, words.TWO if len(self.deciding) == 2 else words.ONE).format(
            s=f"the {names[self.deciding[0]]}",
            t=f"the {names[self.deciding[-1]]}",
            v=self.wanted,
            a=yes,
            b=no,
        )
        asked = f"{told} {pick(rng, words.REQUESTS).format(a=yes, b=no)}"
        return Turn(f"{before}{asked}", pick(rng, words.CUES), yes if right else no)


def lesson(rng: np.random.Generator, course: Memories, breadth: float, right: bool) -> Example:
    """One list of settings and rules, a turn each; from one seed, both lists differ in one value alone.

    The first turn reads that setting and later ones do not, so that one list answers many questions.

    Args:
        rng: draws everything that is not given.
        course: lengths and shares.
        breadth: from the shortest lists, 0, to the longest, 1.
        right: all settings of the first rule have the value that it asks for; otherwise one has the other.
    """
    relevant = 2 if rng.random() < course.two else 1
    both = words.VALUES[int(rng.integers(len(words.VALUES)))]
    low, high = course.lines
    size = int(rng.integers(low, max(low, round(low + (high - low) * breadth)) + 1))
    names = _names(rng, size)
    values = [pick(rng, both) for _ in names]
    deciding = tuple(int(i) for i in rng.permutation(size)[:relevant])
    wanted, other = both
    for i in deciding:
        values[i] = wanted
    violator = deciding[int(rng.integers(relevant))]
    if not right:
        values[violator] = other
    line = pick(rng, words.LINES)
    lines = [
        line.format(c=pick(rng, words.CATEGORIES), n=name, v=value, o=pick(rng, words.NOTES))
        for name, value in zip(names, values, strict=True)
    ]
    memory = "\n".join([pick(rng, words.TITLES), *lines])
    said = "\n".join(filler(rng) for _ in range(int(rng.integers(_SAID + 1))))
    parts = [said, memory] if rng.random() < course.late else [memory, said]
    before = "\n\n".join([*(part for part in parts if part), ""])
    turns = [_Rule(deciding, wanted, _answers(rng)).turn(rng, names, right, before)]
    free = [i for i in range(size) if i != violator]
    for _ in range(int(rng.integers(*course.asked, endpoint=True)) - 1):
        turns += _later(rng, course, names, {i: values[i] for i in free}, both)
    return Example(f"memory{relevant}", pick(rng, words.ROLES), tuple(turns), True)


def _answers(rng: np.random.Generator) -> tuple[str, str]:
    return ("yes", "no") if rng.random() < _YES_NO else two(rng, ACTIONS)


def _later(
    rng: np.random.Generator,
    course: Memories,
    names: Sequence[str],
    values: Mapping[int, str],
    both: tuple[str, str],
) -> list[Turn]:
    """One more turn about settings of these lines; none where too few have the value that it asks for.

    Answers are drawn first, so that either is as frequent, and either value is asked for.
    """
    wanted, other = both if rng.random() < 0.5 else both[::-1]
    right, relevant = bool(rng.random() < 0.5), 2 if rng.random() < course.two else 1
    having = {
        value: [int(i) for i in rng.permutation([i for i in values if values[i] == value])]
        for value in (wanted, other)
    }
    chosen = having[wanted][:relevant] if right else [*having[other][:1], *having[wanted][: relevant - 1]]
    if len(chosen) < relevant:
        return []
    order = tuple(int(i) for i in rng.permutation(chosen))
    return [_Rule(order, wanted, _answers(rng)).turn(rng, names, right)]


def _names(rng: np.random.Generator, size: int) -> list[str]:
    """Names of which many share a word, so that both words have to be read."""
    side = min(len(words.THINGS), max(2, round((1.5 * size) ** 0.5)))
    things = [words.THINGS[int(i)] for i in rng.permutation(len(words.THINGS))[:side]]
    parts = [words.PARTS[int(i)] for i in rng.permutation(len(words.PARTS))]
    parts = parts[: max(2, -(-3 * size // (2 * side)))]
    pairs = [f"{thing} {part}" for thing in things for part in parts]
    if size > len(pairs):
        raise PkvError(f"a list of {size} settings was asked for", f"there are names for {len(pairs)}")
    return [pairs[int(i)] for i in rng.permutation(len(pairs))[:size]]


def draw_memory(
    course: Memories, stage: Stage, seed: tuple[int, int, int], progress: float, longest: int, tokenizer: Any
) -> list[TokenSequence]:
    """Two sequences that differ in one setting's value, or two of the stage's own examples.

    Args:
        course: lengths and shares.
        stage: of the training; its breadth is that of the lists, and its own examples keep what was learned.
        seed: of the pair: training, step and number.
        progress: through the stage.
        longest: neutral sentences of the stage's own examples.
        tokenizer: pairs with an answer that it splits are drawn again.

    Raises:
        PkvError: the tokenizer has too few of the words.
    """
    last: PkvError | None = None
    breadth = stage.breadth[0] + (stage.breadth[1] - stage.breadth[0]) * progress
    for attempt in range(_TRIES):
        rng = np.random.default_rng([*seed, _STREAM, attempt])
        kept = rng.random() < course.kept
        drawn = int(rng.integers(2**31))
        try:
            if kept:
                pair = stage.model_copy(update={"batch": 2}).examples(drawn, 0, progress, longest)
            else:
                pair = [
                    lesson(np.random.default_rng(drawn), course, breadth, right) for right in (True, False)
                ]
            return [encode_example(one, tokenizer) for one in pair]
        except PkvError as error:
            last = error
    raise PkvError(
        f"after {_TRIES} draws no pair has answers of this tokenizer ({last and last.cause})",
        "train a model whose tokenizer has more of the words in pkv_interp/training/vocabulary.py",
    )


def memory_course(
    course: Memories, stages: Sequence[Stage], seed: int, longest: int, tokenizer: Any
) -> Course:
    """The course of a training; the same seed and step give the same batch.

    Args:
        course: lengths and shares.
        stages: of the training.
        seed: of the training.
        longest: neutral sentences of the stages' own examples.
        tokenizer: of the model.
    """

    def draw(stage: Stage, own: tuple[int, int, int], progress: float) -> list[TokenSequence]:
        return draw_memory(course, stage, own, progress, longest, tokenizer)

    facts = course.model_dump(mode="json")
    return Course(paired_batches(stages, seed, draw), supervised_losses, micro_batches, facts)
