"""The course of a reader: pairs whose field, another field or nothing is replaced in the cache."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.training.courses import Reader
from pkv_interp.training.examples import PLACES
from pkv_interp.training.layout_course import drawn, drawn_kind, paired_batches
from pkv_interp.training.layout_prompts import Draw, draw_prompt
from pkv_interp.training.layout_tokens import Encoded, encode_prompt
from pkv_interp.training.replaced_losses import ReplacedLosses, ReplacedSequence, replaced_batches
from pkv_interp.training.schedule import Stage
from pkv_interp.training.trainer import Course

#: Draws of a pair that aligns; values of one token length are wanted.
_TRIES = 400
#: Salt of the random streams.
_STREAM = 17


def draw_replaced(
    course: Reader, stage: Stage, seed: Sequence[int], progress: float, longest: int, tokenizer: Any
) -> list[ReplacedSequence]:
    """Two sequences that differ in the field's value, with the same done to both of their caches.

    Args:
        course: the shares.
        stage: lengths and breadth; events after the prompt are left out.
        seed: of the pair.
        progress: through the stage.
        longest: neutral sentences at full breadth.
        tokenizer: pairs that do not align under it are drawn again.

    Raises:
        PkvError: the tokenizer has too few of the words.
    """
    shares = course.shares
    first = np.random.default_rng([*seed, _STREAM])
    done = str(first.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    kind = drawn_kind(first, {place: stage.mix.get(place, 0.0) for place in PLACES})
    how = drawn(stage, kind, kind == "late", progress, longest)
    last: PkvError | None = None
    for attempt in range(_TRIES):
        rng = np.random.default_rng([*seed, _STREAM, attempt])
        words = int(rng.integers(2**31))
        try:
            return _pair(done, how, words, rng, tokenizer)
        except PkvError as error:
            last = error
    raise PkvError(
        f"after {_TRIES} draws no pair aligns under this tokenizer ({last and last.cause})",
        "train a model whose tokenizer has more of the words in pkv_interp/training/vocabulary.py",
    )


def _pair(
    done: str, how: Draw, words: int, rng: np.random.Generator, tokenizer: Any
) -> list[ReplacedSequence]:
    sides = [_encoded(how, words, match, tokenizer) for match in (True, False)]
    _aligned(*sides)
    start = int(rng.integers(1_000_000))
    found = []
    for match, mine, other in ((True, sides[0], sides[1]), (False, sides[1], sides[0])):
        donor, positions, answer = None, range(0), mine.actions[0]
        if done in ("edited", "refreshed"):
            positions = range(*mine.places.field)
            donor, answer = (other, other.actions[0]) if done == "edited" else (mine, answer)
        elif done == "bystander":
            donor = _encoded(how, words, match, tokenizer, other_changed=True)
            _aligned(mine, donor)
            changed = [at for at, (a, b) in enumerate(zip(mine.prompt, donor.prompt, strict=True)) if a != b]
            span = next((span for span in mine.places.others if span[0] in changed), None)
            if span is None:
                raise PkvError("no other field has another value", "draw another prompt")
            positions = range(*span)
        elif done == "random":
            size, stop = mine.places.field[1] - mine.places.field[0], mine.places.field[1]
            free = mine.places.end - size - stop
            if free < 1:
                raise PkvError("nothing stands between the field and the last block", "draw another prompt")
            first = stop + start % free
            positions, donor, answer = range(first, first + size), other, other.actions[0]
        ids = (*mine.prompt, answer)
        target = (len(ids) - 2,)
        replaced = tuple(positions)
        found.append(
            ReplacedSequence(
                ids, target, target, done, mine.places.end, None if donor is None else donor.prompt, replaced
            )
        )
    return found


def _encoded(how: Draw, words: int, match: bool, tokenizer: Any, *, other_changed: bool = False) -> Encoded:
    prompt = draw_prompt(np.random.default_rng(words), how, match, other_changed=other_changed)
    return encode_prompt(prompt, tokenizer)


def _aligned(one: Encoded, other: Encoded) -> None:
    if len(one.ids) != len(other.ids) or one.places != other.places:
        raise PkvError("values of two token lengths", "draw another pair")


def reader_course(
    course: Reader,
    stages: Sequence[Stage],
    seed: int,
    longest: int,
    tokenizer: Any,
    losses: ReplacedLosses,
) -> Course:
    """The course of a training; the same seed and step give the same batch.

    Args:
        course: the shares.
        stages: of the training.
        seed: of the training.
        longest: neutral sentences at full breadth.
        tokenizer: of the model.
        losses: of the model that is trained.
    """

    def draw(stage: Stage, own: tuple[int, int, int], progress: float) -> list[ReplacedSequence]:
        return draw_replaced(course, stage, own, progress, longest, tokenizer)

    return Course(
        paired_batches(stages, seed, draw), losses, replaced_batches, course.model_dump(mode="json")
    )
