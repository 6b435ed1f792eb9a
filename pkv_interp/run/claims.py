"""Claims of "nothing" and of "everything", tested against measured noise floors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.records.tables import TableRow
from pkv_interp.run.scoring import Scorer
from pkv_interp.stats import holm, tost

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Claim:
    """That an arm is about 0, or about 1 against the full patch.

    Attributes:
        expected: ``"0"`` or ``"1"``.
        arm: its name.
        effect: [cases], in logits: what the arm moves, or how far it is from the full patch.
        scorer: of the cases.
        floor: name of the noise floor that it is tested against.
    """

    expected: str
    arm: str
    effect: np.ndarray
    scorer: Scorer
    floor: str


@dataclass(frozen=True)
class Equivalence(TableRow):
    """One claim, tested by two one-sided tests, with Holm over all claims of the run."""

    table = "equivalence"
    claim: str
    arm: str
    difference: float
    ci90_low: float | None
    ci90_high: float | None
    floor: float
    floor_of: str
    p_value: float
    equivalent: bool
    p_holm: float


@dataclass(frozen=True)
class NoiseFloors:
    """Noise floors in recovery.

    Attributes:
        by_name: ``same_conclusion_`` and where a donor was patched.
        scale: the mean gap that they are over, in logits.
    """

    by_name: dict[str, float]
    scale: float


def same_conclusion_floors(
    moved: Mapping[str, np.ndarray], corrupt: np.ndarray, gap: np.ndarray, least: float
) -> NoiseFloors:
    """How far donors that do not change the conclusion move the margin: mean absolute shift over mean gap.

    Args:
        moved: margins [cases] with a donor's keys and values, by where they were patched.
        corrupt: margins [cases] of the prompts themselves.
        gap: clean minus corrupt margins, [cases].
        least: noise floor of margins, in logits; a shift below it is not known any better than that.
    """
    scale = max(abs(float(gap.mean())), least)
    return NoiseFloors(
        {
            f"same_conclusion_{where}": max(float(np.abs(margins - corrupt).mean()), least) / scale
            for where, margins in moved.items()
        },
        scale,
    )


def equivalences(claims: Sequence[Claim], floors: Mapping[str, float]) -> list[Equivalence]:
    """Test every claim.

    Args:
        claims: of one run; it may make none.
        floors: noise floors by name, in recovery.
    """
    if not claims:
        return []
    found = [
        tost(
            claim.effect,
            claim.scorer.families,
            floors[claim.floor],
            claim.scorer.gap,
            alpha=ALPHA,
            **claim.scorer.resampling,
        )
        for claim in claims
    ]
    adjusted = holm([one.p_value for one in found])
    return [
        Equivalence(
            claim=f"{claim.arm} is about {claim.expected}",
            arm=claim.arm,
            difference=one.estimate.value,
            ci90_low=one.estimate.ci_low,
            ci90_high=one.estimate.ci_high,
            floor=one.floor,
            floor_of=claim.floor,
            p_value=one.p_value,
            equivalent=bool(one.equivalent and p < ALPHA),
            p_holm=float(p),
        )
        for claim, one, p in zip(claims, found, adjusted, strict=True)
    ]
