"""Each claim against its figure: passed, failed, or not applicable, with the reason in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.confirm.about import accuracy_by_side
from experiments.confirm.claims import Part
from experiments.confirm.parts import OVER, part_of
from experiments.confirm.samples import Figure, Ratio
from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED, ClaimLine, PartLine
from pkv_interp.run.preregistered import NamedModel
from pkv_interp.run.preregistration import Claim, Preregistration
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate

CANNOT = "the model does not follow these rules"
GUESSES = "too few families have a pair right on both sides, or the model is no better than guessing"


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
        model: the entry of the model that was measured.
        resampling: of the intervals.
    """

    figures: Mapping[str, Figure]
    parts: Mapping[str, PartLine]
    model: NamedModel
    resampling: Resampling


def part_line(name: str, part: Part, threshold: float | None) -> PartLine:
    """How often the model is right in a part.

    Args:
        name: of the part.
        part: decisions of it.
        threshold: accuracy that both sides must reach; None where pairs are screened.
    """
    match, mismatch = accuracy_by_side([one for mine in part.decisions for one in mine])
    right = {family for family, good in zip(part.families, part.right, strict=True) if good}
    return PartLine(
        part=name,
        match=match,
        mismatch=mismatch,
        competent=None if threshold is None else min(match, mismatch) >= threshold,
        pairs=len(part.right),
        right_on_both=sum(part.right),
        used=part.used,
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
        return Outcome(_line(claim, plan, evidence, NOT_APPLICABLE, reason), None)
    figure = evidence.figures[claim.judged_by]
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
    return Outcome(_line(claim, plan, evidence, PASSED if passed else FAILED, told, numbers), found)


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
        return GUESSES if evidence.model.screened else CANNOT
    part, figure = evidence.parts.get(part_of(claim, evidence.model)), evidence.figures.get(claim.judged_by)
    if part is not None and part.competent is False:
        return f"{CANNOT} in {part.part}"
    if part is None or figure is None:
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
    evidence: Evidence,
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
    part = part_of(claim, evidence.model)
    return ClaimLine(
        claim=claim.name,
        figure=claim.judged_by,
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
