"""Curricula that differ in the place of the field alone, over a pool of examples that all seeds share."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.names import Curriculum
from pkv_interp.training.schedule import Stage, at
from pkv_interp.training.tokens import TokenSequence, encode_example
from pkv_interp.training.updates import Kind

CURRICULA: tuple[Curriculum, ...] = get_args(Curriculum)
#: Kinds of examples of each, which take turns over the pool: the field before the rule, and after it.
_TURNS: dict[Curriculum, tuple[Kind, ...]] = {
    "early": ("plain",),
    "late": ("late",),
    "mixed": ("plain", "late"),
}
#: Draws until enough pairs have answers of one token; a tokenizer of few words needs many.
_TRIES = 400


@dataclass(frozen=True)
class Pool:
    """Batches of every stage, drawn once for all seeds, roles and curricula.

    Attributes:
        stages: lengths, sizes and kinds of lessons; the place of the field is the curriculum's.
        batches: per stage and place of the field; steps beyond them take these again, in another order.
        longest: fillers at full breadth.
        tokenizer: examples whose answers are not one token are drawn again.
        drawn: batches that were asked for, by their step and the place of the field.
    """

    stages: tuple[Stage, ...]
    batches: int
    longest: int
    tokenizer: Any
    drawn: dict[tuple[int, Kind], list[TokenSequence]] = field(default_factory=dict, repr=False)

    def batch(self, curriculum: Curriculum, seed: int, step: int) -> list[TokenSequence]:
        """The batch of one step; the seed sets the order of the pool and nothing else.

        Args:
            curriculum: which kinds take turns.
            seed: of the training.
            step: counts from the start of the training.

        Raises:
            PkvError: the tokenizer has too few of the answers as one token.
        """
        stage, _ = at(self.stages, step)
        first = 0
        for earlier in self.stages:
            if step < first + earlier.steps:
                break
            first += earlier.steps
        size = min(self.batches, stage.steps)
        turn, place = divmod(step - first, size)
        order = np.random.default_rng([seed, first, turn]).permutation(size)
        entry = int(order[place])
        kinds = _TURNS[curriculum]
        key = first + entry, kinds[entry % len(kinds)]
        if key not in self.drawn:
            self.drawn[key] = self._draw(stage, key[0], entry / max(1, size - 1), key[1])
        return list(self.drawn[key])

    def _draw(self, stage: Stage, step: int, progress: float, kind: Kind) -> list[TokenSequence]:
        only = stage.model_copy(update={"mix": {kind: 1.0}})
        found: list[TokenSequence] = []
        for attempt in range(_TRIES):
            examples = only.examples(attempt, step, progress, self.longest)
            for pair in zip(examples[::2], examples[1::2], strict=False):
                found += self._encoded(pair)
            if len(found) >= stage.batch:
                return found[: stage.batch]
        raise PkvError(
            f"after {_TRIES} draws {len(found)} of {stage.batch} examples have answers of one token",
            "train a model whose tokenizer has more of the words in pkv_interp/training/vocabulary.py",
        )

    def _encoded(self, pair: Sequence[Any]) -> list[TokenSequence]:
        """Both examples of a pair, or none: alone, one of them would say which action is asked for."""
        try:
            return [encode_example(one, self.tokenizer) for one in pair]
        except PkvError:
            return []
