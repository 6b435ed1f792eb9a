"""Each claim against its figure: passed, failed, or not applicable, with the reason in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.confirm.about import accuracy_by_side
from experiments.confirm.claims import Part
from experiments.confirm.parts import OVER, PARTS
from experiments.confirm.samples import Figure, Ratio
from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED, ClaimLine, PartLine
from pkv_interp.run.preregistration import Claim, Preregistration
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate

CANNOT = "the model does not follow these rules"


@dataclass(frozen=True)
class Outcome:
    """One claim, judged.

    Attributes:
        line: of the table.
        estimate: over what it is judged on; None where the claim does not apply.
    """

    line: ClaimLine
    estimate: Estimate | None

    @property
    def applies(self) -> bool:
        """Whether it counts."""
        return self.line.outcome != NOT_APPLICABLE


@dataclass(frozen=True)
class Evidence:
    """What claims are judged by.

    Attributes:
        figures: by claim.
        parts: lines about each part; none where the model does not follow the rules.
        resampling: of the intervals.
    """

    figures: Mapping[str, Figure]
    parts: Mapping[str, PartLine]
    resampling: Resampling


def part_line(name: str, part: Part, threshold: float) -> PartLine:
    """How often the model is right in a part."""
    match, mismatch = accuracy_by_side([one for mine in part.decisions for one in mine])
    right = {family for family, good in zip(part.families, part.right, strict=True) if good}
    return PartLine(
        part=name,
        match=match,
        mismatch=mismatch,
        competent=min(match, mismatch) >= threshold,
        pairs=len(part.right),
        right_on_both=sum(part.right),
        families=len(set(part.families)),
        families_right=len(right),
    )


def judge(claim: Claim, plan: Preregistration, model: str, evidence: Evidence) -> Outcome:
    """One claim.

    Args:
        claim: to judge.
        plan: that it is of.
        model: name of the model.
        evidence: figures and parts.
    """
    if reason := _why_not(claim, plan, model, evidence):
        return Outcome(_line(claim, plan, NOT_APPLICABLE, reason), None)
    figure = evidence.figures[claim.name]
    found = figure.estimate(figure.counted, evidence.resampling)
    every = figure.estimate(np.ones_like(figure.counted), evidence.resampling)
    p = None
    if claim.direction == "between":
        assert claim.around is not None
        assert isinstance(figure, Ratio)  # others are refused with the preregistration
        test = figure.equivalence(figure.counted, claim.around, plan.equivalence_floor, evidence.resampling)
        p, passed = test.p_value, test.equivalent
        told = f"{'' if passed else 'not '}within {plan.equivalence_floor:g} of {claim.around:g}, p = {p:.2g}"
    else:
        passed, told = _against(claim, found)
    numbers: dict[str, Any] = {
        "value": found.value,
        "ci_low": found.ci_low,
        "ci_high": found.ci_high,
        "n_families": found.n_families,
        "n_instances": found.n_instances,
        "all_value": every.value,
        "all_ci_low": every.ci_low,
        "all_ci_high": every.ci_high,
        "all_n_instances": every.n_instances,
        "p_equivalence": p,
    }
    return Outcome(_line(claim, plan, PASSED if passed else FAILED, told, numbers), found)


def _against(claim: Claim, found: Estimate) -> tuple[bool, str]:
    """Whether an estimate clears the threshold and its whole interval lies beyond what it must exclude."""
    threshold, excludes, sign = claim.threshold, claim.excludes, 1 if claim.direction == "over" else -1
    assert threshold is not None
    assert excludes is not None
    near = found.ci_low if claim.direction == "over" else found.ci_high
    cleared = sign * (found.value - threshold) > 0
    # A figure without an interval excludes nothing.
    excluded = near is not None and sign * (near - excludes) > 0
    told = (
        f"the estimate is {'' if cleared else 'not '}{claim.direction} {threshold:g}, "
        f"the interval {'excludes' if excluded else 'does not exclude'} {excludes:g}"
    )
    return cleared and excluded, told


def _why_not(claim: Claim, plan: Preregistration, model: str, evidence: Evidence) -> str:
    """Why a claim does not apply; nothing where it does."""
    if model not in claim.models:
        return f"it is made for {', '.join(claim.models)}"
    if not evidence.parts:
        return CANNOT
    part = evidence.parts[PARTS[claim.name]]
    if not part.competent:
        return f"{CANNOT} in {part.part}"
    figure = evidence.figures.get(claim.name)
    if figure is None:
        return "its figure could not be measured"
    families = {f for f, k in zip(figure.families, figure.counted, strict=True) if k}
    if len(families) < plan.least_families:
        return (
            f"{len(families)} families have a pair right on both sides, and {plan.least_families} are needed"
        )
    return ""


def _line(
    claim: Claim,
    plan: Preregistration,
    outcome: str,
    reason: str,
    numbers: Mapping[str, Any] | None = None,
) -> ClaimLine:
    low, high = claim.threshold, claim.threshold
    if claim.direction == "between":
        assert claim.around is not None
        low, high = claim.around - plan.equivalence_floor, claim.around + plan.equivalence_floor
    none = dict.fromkeys(
        ("value", "ci_low", "ci_high", "n_families", "n_instances", "all_value", "all_ci_low", "all_ci_high",
         "all_n_instances", "p_equivalence")
    )  # fmt: skip
    columns: dict[str, Any] = {**none, **(numbers or {})}
    part = PARTS[claim.name]
    return ClaimLine(
        claim=claim.name,
        what=claim.what,
        direction=claim.direction,
        low=None if claim.direction == "under" else low,
        high=None if claim.direction == "over" else high,
        excludes=claim.excludes,
        outcome=outcome,
        reason=reason,
        part=part,
        over=OVER[part],
        source=claim.source,
        **columns,
    )
