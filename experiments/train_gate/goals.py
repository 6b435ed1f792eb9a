"""What the gate adapter should be able to do. A goal that is missed is reported and stops nothing."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from experiments.train_gate.judging import Answer
from experiments.train_gate.tables import GoalReached

#: Prompts up to this long count as of ordinary length, in tokens.
ORDINARY = 600


@dataclass(frozen=True)
class Goal:
    """A threshold on the share of right decisions, or of wrong ones.

    Attributes:
        name: of the goal.
        of: says which answers it is about.
        goal: least share of right decisions, or largest share of wrong ones.
        by_side: each side of the field must reach it.
        wrong: it is about wrong decisions.
    """

    name: str
    of: Callable[[Answer], bool]
    goal: float
    by_side: bool = True
    wrong: bool = False

    def reached(self, answers: Sequence[Answer]) -> list[GoalReached]:
        """One line per side, none where nothing of the kind was asked."""
        lines = []
        sides = (("match", True), ("mismatch", False)) if self.by_side else (("both", None),)
        for side, match in sides:
            part = [a for a in answers if self.of(a) and (match is None or a.match is match)]
            if part:
                value = float(np.mean([a.right is not self.wrong for a in part]))
                met = value <= self.goal if self.wrong else value >= self.goal
                lines.append(GoalReached(self.name, side, self.goal, self.wrong, value, bool(met)))
        return lines


GOALS: tuple[Goal, ...] = (
    Goal(
        "accuracy_to_600_tokens",
        lambda a: a.condition.startswith("length-") and a.tokens <= ORDINARY,
        0.98,
    ),
    Goal(
        "accuracy_above_600_tokens",
        lambda a: a.condition.startswith("length-") and a.tokens > ORDINARY,
        0.95,
    ),
    Goal("field_late", lambda a: a.condition == "field-late", 0.98),
    Goal("unseen_layout", lambda a: a.condition.startswith("layout-"), 0.95),
    Goal("updates_followed", lambda a: a.condition.startswith("update-"), 0.95, by_side=False),
    Goal("updates_taken_back", lambda a: a.condition.startswith("reverted-"), 0.95, by_side=False),
    Goal(
        "misled_by_another_field",
        lambda a: a.condition in ("near-update", "unrelated-update"),
        0.03,
        by_side=False,
        wrong=True,
    ),
)
#: Chat loss of the adapted model, in parts of the base model's.
CHAT_LOSS = 1.0


def goals(answers: Sequence[Answer], chat_ratio: float) -> list[GoalReached]:
    """Every goal, reached or missed."""
    return [
        *(line for goal in GOALS for line in goal.reached(answers)),
        GoalReached("chat_loss", "both", CHAT_LOSS, True, chat_ratio, chat_ratio <= CHAT_LOSS),
    ]
