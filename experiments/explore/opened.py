"""A pair that was run: both decisions, before anything is patched."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from experiments.explore.notes import LEAST_GAP, attention_by_layer
from experiments.explore.pair import Pair
from pkv_interp.measure.competence import decisions
from pkv_interp.measure.pairs import PairRun

#: Likeliest tokens that are shown.
_TOP = 5


@dataclass(frozen=True)
class Side:
    """The decision on one of the two prompts.

    Attributes:
        value: of the span that differs.
        called_for: the action that this prompt calls for.
        choice: the action that the model prefers.
        margin: first action's logit minus the second's.
        right: both are one.
        probability: of the action called for, among all tokens.
        top: the likeliest tokens of all, with their probabilities.
    """

    value: str
    called_for: str
    choice: str
    margin: float
    right: bool
    probability: float
    top: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Opened:
    """A pair and what is known of it without patching.

    Attributes:
        pair: the prompts.
        clean: the first side.
        corrupt: the other one.
        notes: positions after the change and before the decision.
        changed: positions that differ by place.
        attention: of the clean prompt's decision token, by layer.
    """

    pair: Pair
    clean: Side
    corrupt: Side
    notes: tuple[int, ...]
    changed: tuple[int, ...]
    attention: Float[np.ndarray, "layers tokens"]

    @property
    def gap(self) -> float:
        """Clean margin minus corrupt margin."""
        return self.clean.margin - self.corrupt.margin

    @property
    def competent(self) -> bool:
        """Whether the model is right on both sides."""
        return self.clean.right and self.corrupt.right

    @property
    def has_gap(self) -> bool:
        """Whether the prompts differ enough for shares of their difference."""
        return abs(self.gap) >= LEAST_GAP

    def recovery(self, margin: float) -> float | None:
        """Where a margin stands between both prompts; None where they are too close."""
        return (margin - self.corrupt.margin) / self.gap if self.has_gap else None

    def chosen_by(self, margin: float) -> str:
        """The action that a margin prefers."""
        return self.pair.case.actions[0 if margin > 0 else 1]


def opened(pair: Pair, run: PairRun, tokenizer: Any) -> Opened:
    """What is known of a pair that was run."""
    case = pair.case
    sides = []
    for index, (decision, prefill, prompt) in enumerate(
        zip(decisions(run), (run.clean, run.corrupt), (case.clean, case.corrupt), strict=True)
    ):
        margin = (run.clean_margin, run.corrupt_margin)[index]
        chances = prefill.logits.softmax(-1)
        sides.append(
            Side(
                "".join(prompt.tokens[slice(*case.change)]).strip(),
                case.actions[index],
                case.actions[0 if margin > 0 else 1],
                margin,
                decision.right,
                float(chances[case.action_ids[index]]),
                _top(chances, tokenizer),
            )
        )
    return Opened(pair, sides[0], sides[1], run.notes, run.changed, attention_by_layer(run))


def _top(chances: Tensor, tokenizer: Any) -> tuple[tuple[str, float], ...]:
    best = chances.topk(min(_TOP, len(chances)))
    return tuple(
        (tokenizer.decode([token]), chance)
        for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    )
