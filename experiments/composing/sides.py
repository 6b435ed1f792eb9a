"""The prompts of scenes under their arms: agreement with the full prefill, and distance from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from experiments.composing.scenes import SceneResult, Side
from pkv_interp.measure.competence import Decision
from pkv_interp.run.scoring import UNSIGNED, Resampling
from pkv_interp.stats import Estimate, mean

Quantity = Literal["margin", "kl", "top1", "cosine", "centred_cosine"]


@dataclass(frozen=True)
class ScoredSide:
    """One prompt of a scene; ``counted`` where the full prefill is right on both sides of the scene."""

    scene: SceneResult
    side: Side
    counted: bool

    def agrees(self, arm: str) -> bool:
        """The arm takes the same of the two actions as the full prefill."""
        return (self.side.arms[arm].margin > 0) == (self.side.margin > 0)


def sides_of(scenes: Sequence[SceneResult]) -> list[ScoredSide]:
    """Both sides of every scene."""
    return [
        ScoredSide(scene, side, all(one.right for one in scene.sides))
        for scene in scenes
        for side in scene.sides
    ]


def decisions_of(scenes: Sequence[SceneResult]) -> list[Decision]:
    """What the full prefill decides, for the competence gate."""
    return [
        Decision(
            scene.family,
            scene.instance,
            side.name == "match",
            side.towards_gold(side.margin),
            side.right,
            side.top_token_right,
        )
        for scene in scenes
        for side in scene.sides
    ]


def families_of(sides: Sequence[ScoredSide]) -> list[str]:
    """The family of every side."""
    return [side.scene.family for side in sides]


def values_of(sides: Sequence[ScoredSide], arm: str, quantity: Quantity) -> np.ndarray:
    """One quantity of an arm, [sides]."""
    return np.array([getattr(side.side.arms[arm], quantity) for side in sides], float)


def agreement(sides: Sequence[ScoredSide], arm: str, resampling: Resampling) -> Estimate | None:
    """Two-way agreement where the full prefill is right on both field values; None where it never is.

    Args:
        sides: of scenes.
        arm: compared with the full prefill.
        resampling: of the interval.
    """
    # Agreement counts only where the full prefill is right.
    counted = [side for side in sides if side.counted]
    if not counted:
        return None
    alike = [side.agrees(arm) for side in counted]
    return mean(alike, families_of(counted), bounds=(0.0, 1.0), **resampling)


def same_token(sides: Sequence[ScoredSide], arm: str, resampling: Resampling) -> Estimate | None:
    """As `agreement`, of the first token over the whole vocabulary.

    Args:
        sides: of scenes.
        arm: compared with the full prefill.
        resampling: of the interval.
    """
    counted = [side for side in sides if side.counted]
    if not counted:
        return None
    return mean(values_of(counted, arm, "top1"), families_of(counted), bounds=(0.0, 1.0), **resampling)


def divergence(sides: Sequence[ScoredSide], arm: str, resampling: Resampling) -> Estimate:
    """Mean KL from the full prefill, in nats.

    Args:
        sides: of scenes.
        arm: compared with the full prefill.
        resampling: of the interval.
    """
    return mean(values_of(sides, arm, "kl"), families_of(sides), bounds=UNSIGNED, **resampling)
