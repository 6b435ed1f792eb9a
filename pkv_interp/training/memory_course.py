"""The course on memories: a list of settings, what was said, and questions about one or two of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from pkv_interp.errors import PkvError
from pkv_interp.training import memory_words as words
from pkv_interp.training.courses import Memories
from pkv_interp.training.draws import filler, pick, two
from pkv_interp.training.examples import Example, Turn
from pkv_interp.training.losses import shared_batches, shared_beginning, supervised_losses
from pkv_interp.training.schedule import Stage, at
from pkv_interp.training.tokens import TokenSequence, encode_example
from pkv_interp.training.trainer import Course
from pkv_interp.training.vocabulary import ACTIONS

#: Draws of a list whose answers are one token each.
_TRIES = 400
#: Salt of the random streams.
_STREAM = 18
#: Share of lessons whose answers are yes and no; the others have two actions.
_YES_NO = 0.85
#: Sentences of what was said at most.
_SAID = 6


def lessons(rng: np.random.Generator, course: Memories, breadth: float) -> list[Example]:
    """One list of settings and questions about it, each a text of its own; all begin alike, up to the rule.

    Questions come in pairs whose rules differ in the settings that they name alone: those of the first have
    the value that is asked for, and one of the second's has the other. Of all settings half have it.

    Args:
        rng: what is drawn from.
        course: lengths and shares.
        breadth: from the shortest lists, 0, to the longest, 1.
    """
    both = words.VALUES[int(rng.integers(len(words.VALUES)))]
    low, high = course.lines
    size = int(rng.integers(low, max(low, round(low + (high - low) * breadth)) + 1))
    names = _names(rng, size)
    values = [both[int(i) % 2] for i in rng.permutation(size)]
    line = pick(rng, words.LINES)
    lines = [
        line.format(c=pick(rng, words.CATEGORIES), n=name, v=value, o=pick(rng, words.NOTES))
        for name, value in zip(names, values, strict=True)
    ]
    memory = "\n".join([pick(rng, words.TITLES), *lines])
    said = "\n".join(filler(rng) for _ in range(int(rng.integers(_SAID + 1))))
    parts = [said, memory] if rng.random() < course.late else [memory, said]
    before = "\n\n".join([*(part for part in parts if part), ""])
    role = pick(rng, words.ROLES)
    made = []
    for _ in range(course.pairs):
        kind, turns = _pair(rng, course, names, values, both)
        made += [Example(kind, role, (replace(turn, text=f"{before}{turn.text}"),), True) for turn in turns]
    return made


def _pair(
    rng: np.random.Generator,
    course: Memories,
    names: Sequence[str],
    values: Sequence[str],
    both: tuple[str, str],
) -> tuple[str, list[Turn]]:
    """Two questions of one wording, about settings of either value.

    The first is to be answered as the rule says and the second as otherwise; or each with the value itself.
    """
    having = {
        value: [int(i) for i in rng.permutation(len(values)) if values[int(i)] == value] for value in both
    }
    if rng.random() < course.looked_up:
        asked, cue = pick(rng, words.LOOKUPS), pick(rng, words.LOOKUP_CUES)
        chosen = [(value, names[having[value][0]]) for value in both]
        return "memory0", [
            Turn(asked.format(s=f"the {name}"), cue.format(s=name), value) for value, name in chosen
        ]
    wanted, other = both
    relevant = 2 if rng.random() < course.two and len(having[wanted]) > 1 else 1
    yes, no = ("yes", "no") if rng.random() < _YES_NO else two(rng, ACTIONS)
    rule, request = pick(rng, words.TWO if relevant == 2 else words.ONE), pick(rng, words.REQUESTS)
    cue = pick(rng, words.CUES)
    read = course.read_back > 0 and rng.random() < course.read_back
    held = dict(zip(names, values, strict=True))
    turns = []
    for answer, deciding in (
        (yes, having[wanted][:relevant]),
        (no, [having[other][0], *having[wanted][: relevant - 1]]),
    ):
        order = [names[int(i)] for i in rng.permutation(deciding)]
        told = rule.format(s=f"the {order[0]}", t=f"the {order[-1]}", v=wanted, a=yes, b=no)
        stated = tuple((name, held[name]) for name in order) if read else ()
        turns.append(Turn(f"{told} {request.format(a=yes, b=no)}", cue, answer, stated))
    return f"{'read_' if read else ''}memory{relevant}", turns


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
    """The questions about one list, or two of the stage's own examples.

    Args:
        course: lengths and shares.
        stage: of the training; its breadth is that of the lists, and its own examples keep what was learned.
        seed: of the draw: training, step and number.
        progress: through the stage.
        longest: neutral sentences of the stage's own examples.
        tokenizer: lists with an answer that it splits are drawn again.

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
                found = stage.model_copy(update={"batch": 2}).examples(drawn, 0, progress, longest)
            else:
                found = lessons(np.random.default_rng(drawn), course, breadth)
            return [encode_example(one, tokenizer) for one in found]
        except PkvError as error:
            last = error
    raise PkvError(
        f"after {_TRIES} draws no list has answers of this tokenizer ({last and last.cause})",
        "train a model whose tokenizer has more of the words in pkv_interp/training/vocabulary.py",
    )


def list_batches(sequences: list[TokenSequence], budget: int) -> list[list[TokenSequence]]:
    """Micro-batches; questions about one list stand together."""
    return [group for _, group in shared_batches(sequences, budget)]


def list_losses(model: Any, group: list[TokenSequence], fill: int) -> tuple[Tensor, Tensor]:
    """Losses of a micro-batch; what its sequences share, a list for the most part, runs once."""
    return supervised_losses(model, group, fill, shared_beginning(group))


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

    def batches(step: int) -> list[TokenSequence]:
        stage, progress = at(stages, step)
        found: list[TokenSequence] = []
        for number in range(stage.batch):
            if len(found) < stage.batch:
                found += draw_memory(course, stage, (seed, step, number), progress, longest, tokenizer)
        return found[: stage.batch]

    return Course(batches, list_losses, list_batches, course.model_dump(mode="json"))
