"""Rankings of note positions by anchor: learned on some instances of a family, used on its others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float

from pkv_interp.measure.patching import order_by
from pkv_interp.measure.ranking import pool_by_name
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import site_anchors


class RankingSites(Protocol):
    """What a ranking instance must give; margins in logits."""

    @property
    def clean(self) -> float:
        """Margin on the clean prompt."""
        ...

    @property
    def corrupt(self) -> float:
        """Margin on the corrupt prompt."""
        ...

    @property
    def positions(self) -> Float[np.ndarray, " notes"]:
        """Margin after patching each single position of the notes."""
        ...

    @property
    def attention(self) -> Float[np.ndarray, " notes"]:
        """Attention of the decision to each position of the notes."""
        ...


@dataclass(frozen=True)
class Ranking:
    """By anchor, from the ranking instances of one family.

    Attributes:
        effect: pooled single-position recovery.
        attention: mean attention of the decision.
    """

    effect: dict[str, float]
    attention: dict[str, float]


def anchors(case: Case) -> tuple[str, ...]:
    """Anchors of a case's notes, in order."""
    return site_anchors(case.clean, case.wording)[case.after_change : case.clean.decision]


def pool_by_anchor(
    cases: Sequence[Case], values: Sequence[Float[np.ndarray, " notes"]], weights: Sequence[float]
) -> dict[str, float]:
    """Per anchor, the sum of its values over the cases that have it, over the sum of their weights.

    Args:
        cases: ranking instances of one family.
        values: per case, one value for each position of its notes.
        weights: per case: gaps, which make patched minus corrupt margins a recovery, or 1 each for the mean.
    """
    return pool_by_name([anchors(case) for case in cases], values, weights)


def make_rankings(
    cases: Sequence[Case], found: Sequence[RankingSites], scored: Sequence[str] = ()
) -> dict[str, Ranking]:
    """Rankings by family, each from that family's instances alone.

    Args:
        cases: ranking instances of any families.
        found: what was measured on each.
        scored: families that need a ranking; one that has no ranking instance gets that of all instances.
    """
    own = {case.family for case in cases}
    rankings = {}
    for family in dict.fromkeys([*(case.family for case in cases), *scored]):
        mine = [
            (case, one)
            for case, one in zip(cases, found, strict=True)
            if case.family == family or family not in own
        ]
        ranking = [case for case, _ in mine]
        moved = [np.asarray(one.positions, float) - one.corrupt for _, one in mine]
        rankings[family] = Ranking(
            effect=pool_by_anchor(ranking, moved, [one.clean - one.corrupt for _, one in mine]),
            attention=pool_by_anchor(ranking, [one.attention for _, one in mine], [1.0] * len(mine)),
        )
    return rankings


def order_by_anchor(scores: Mapping[str, float], case: Case, positions: Sequence[int]) -> list[int]:
    """Positions by the scores of their anchors, largest first; those without one come last, latest first.

    Args:
        scores: by anchor, learned on other instances of the case's family.
        case: its anchors name the positions.
        positions: the notes, or as many of them, from the first, as are to be ordered.
    """
    return order_by(scores, anchors(case)[: len(positions)], positions)
