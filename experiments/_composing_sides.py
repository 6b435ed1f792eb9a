"""The prompts of the composing experiment under their arms: agreement with the full prefill, and KL."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._composing_cases import Scene
from experiments._composing_measures import Found
from experiments._scores import NOT_NEGATIVE
from pkv_interp.measure.competence import Decision
from pkv_interp.stats import Estimate, mean

#: Columns of an agreement that could be counted nowhere.
NO_AGREEMENT = {"agreement": None, "agreement_ci_low": None, "agreement_ci_high": None}
NO_TOP1 = {"top1": None, "top1_ci_low": None, "top1_ci_high": None}
Scenes = tuple[Sequence[Scene], Sequence[Found]]


@dataclass(frozen=True)
class Side:
    """One prompt under all arms; ``counted`` where the full prefill is right on both sides of its pair."""

    scene: Scene
    found: Found
    counted: bool

    @property
    def sign(self) -> float:
        """+1 where the gold action is the first one, -1 where it is the second."""
        return 1.0 if self.found["gold"] == 0 else -1.0


def sides_of(scenes: Sequence[Scene], chunks: Sequence[Found]) -> list[Side]:
    """Both sides of every scene."""
    sides: list[Side] = []
    for one, chunk in zip(scenes, chunks, strict=True):
        right = [towards_gold(side, side["margin"]) > 0 for side in chunk["sides"]]
        sides += [Side(one, side, all(right)) for side in chunk["sides"]]
    return sides


def decisions_of(scenes: Sequence[Scene], chunks: Sequence[Found]) -> list[Decision]:
    """What the full prefill decides, for the competence gate."""
    return [
        Decision(
            one.case.family,
            one.case.instance,
            side["side"] == "match",
            towards_gold(side, side["margin"]),
            towards_gold(side, side["margin"]) > 0,
            side["top_token_right"],
        )
        for one, chunk in zip(scenes, chunks, strict=True)
        for side in chunk["sides"]
    ]


def towards_gold(side: Found, margin: float) -> float:
    return margin if side["gold"] == 0 else -margin


def agrees(side: Side, arm: str) -> bool:
    """The arm takes the same of the two actions as the full prefill."""
    return (side.found["arms"][arm]["margin"] > 0) == (side.found["margin"] > 0)


def families_of(sides: Iterable[Side]) -> list[str]:
    return [side.scene.case.family for side in sides]


def values_of(sides: Sequence[Side], arm: str, what: str) -> np.ndarray:
    return np.array([side.found["arms"][arm][what] for side in sides], float)


def agreement(sides: Sequence[Side], arm: str, options: Mapping[str, Any]) -> Estimate | None:
    """Two-way agreement where the full prefill is right on both field values; None where it never is."""
    counted = [side for side in sides if side.counted]
    if not counted:
        return None
    return mean([agrees(s, arm) for s in counted], families_of(counted), bounds=(0.0, 1.0), **options)


def divergence(sides: Sequence[Side], arm: str, options: Mapping[str, Any]) -> Estimate:
    """Mean KL from the full prefill, in nats."""
    return mean(values_of(sides, arm, "kl"), families_of(sides), bounds=NOT_NEGATIVE, **options)
