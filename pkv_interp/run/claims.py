"""Claims: of "nothing" and of "everything", against one floor; and against thresholds set before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pkv_interp.records.tables import EstimateRow, TableRow
from pkv_interp.run.scoring import Scorer
from pkv_interp.stats import Estimate, holm, tost

ALPHA = 0.05
#: The one floor of all claims of "nothing" and of "everything", in recovery: effects in logits are divided by
#: the gap between clean and corrupt margins. It does not depend on what a run measures; what same-conclusion
#: donors move is reported beside it.
EQUIVALENCE_FLOOR = 0.1


@dataclass(frozen=True, eq=False)
class Claim:
    """That an arm is about 0, or about 1 against the full patch.

    Attributes:
        expected: ``"0"`` or ``"1"``.
        arm: its name.
        effect: [cases], in logits: what the arm moves, or how far it is from the full patch.
        scorer: of the cases; its gap turns the effect into recovery.
        donors: name of the measured noise floor that is reported beside the test.
    """

    expected: str
    arm: str
    effect: np.ndarray
    scorer: Scorer
    donors: str


@dataclass(frozen=True)
class Equivalence(TableRow):
    """One claim, tested by two one-sided tests against ``floor``, with Holm over all claims of the run.

    All are in recovery. ``donors_move`` is a measured noise floor, which nothing is tested against: how far
    the same-conclusion donors of the name ``donors`` move the margin.
    """

    table = "equivalence"
    claim: str
    arm: str
    difference: float
    ci90_low: float | None
    ci90_high: float | None
    floor: float
    donors: str
    donors_move: float
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


def equivalences(claims: Sequence[Claim], measured: Mapping[str, float]) -> list[Equivalence]:
    """Test every claim against ``EQUIVALENCE_FLOOR``.

    Args:
        claims: of one run; it may make none.
        measured: noise floors by name, in recovery, to be reported beside the tests.
    """
    if not claims:
        return []
    found = [
        tost(
            claim.effect,
            claim.scorer.families,
            EQUIVALENCE_FLOOR,
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
            donors=claim.donors,
            donors_move=measured[claim.donors],
            p_value=one.p_value,
            equivalent=bool(one.equivalent and p < ALPHA),
            p_holm=float(p),
        )
        for claim, one, p in zip(claims, found, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class Criterion:
    """A threshold that was written down before anything was measured.

    Attributes:
        claim: what it takes part in; a claim holds where all of its criteria are met.
        figure: name of the figure that is held against it.
        relation: the side on which the figure must lie.
        threshold: the figure may not lie on it.
    """

    claim: str
    figure: str
    relation: Literal["over", "under"]
    threshold: float

    def met(self, value: float) -> bool:
        """Whether a value lies on the right side."""
        return value > self.threshold if self.relation == "over" else value < self.threshold


@dataclass(frozen=True)
class Judged(EstimateRow):
    """A criterion with its figure: whether the value meets it, and whether all of the interval does."""

    table = "criteria"
    claim: str
    figure: str
    relation: str
    threshold: float
    met: bool
    certain: bool


@dataclass(frozen=True)
class Verdict(TableRow):
    """Whether all criteria of a claim are met, and whether whole intervals meet them."""

    table = "verdicts"
    claim: str
    holds: bool
    certain: bool


def verdicts(
    criteria: Sequence[Criterion], figures: Mapping[str, Estimate]
) -> tuple[list[Judged], list[Verdict]]:
    """Each criterion against its figure, and each claim; one with a figure that was not measured is left out.

    Args:
        criteria: of all claims.
        figures: by name.
    """
    without = {one.claim for one in criteria if one.figure not in figures}
    kept = [one for one in criteria if one.claim not in without]
    judged = []
    for one in kept:
        found = figures[one.figure]
        # A figure without an interval is certain of nothing.
        ends = [end for end in (found.ci_low, found.ci_high) if end is not None]
        judged.append(
            Judged.of(
                found,
                claim=one.claim,
                figure=one.figure,
                relation=one.relation,
                threshold=one.threshold,
                met=one.met(found.value),
                certain=bool(ends) and all(one.met(end) for end in ends),
            )
        )
    held = []
    for claim in dict.fromkeys(one.claim for one in kept):
        mine = [line for line in judged if line.claim == claim]
        held.append(Verdict(claim, all(line.met for line in mine), all(line.certain for line in mine)))
    return judged, held
