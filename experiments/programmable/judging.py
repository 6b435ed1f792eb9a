"""Each criterion against its figure: passed, failed, or not applicable, with the reason in words."""

from collections.abc import Mapping
from typing import Any

from experiments.programmable.claims import Criterion
from experiments.programmable.tables import FAILED, NOT_APPLICABLE, PASSED, ClaimLine
from pkv_interp.stats import Estimate


def judge(criterion: Criterion, figures: Mapping[str, Mapping[str, Estimate]], competent: bool) -> ClaimLine:
    """One criterion.

    Args:
        criterion: to judge.
        figures: by role and name.
        competent: the run's own model follows the rules; otherwise nothing is judged.
    """
    found = figures.get(criterion.role, {}).get(criterion.figure)
    if found is None or not competent:
        reason = (
            "the run's own model does not follow these rules"
            if not competent
            else f"there is no {criterion.role} adapter in this run"
            if criterion.role not in figures
            else "its figure was not measured at these sizes"
        )
        return _line(criterion, NOT_APPLICABLE, reason, None, None)
    met = criterion.met(found.value)
    ends = [end for end in (found.ci_low, found.ci_high) if end is not None]
    certain = all(criterion.met(end) is met for end in ends) if ends else None
    told = f"{found.value:.3f} is {'' if met else 'not '}{criterion.relation} {criterion.threshold:g}"
    return _line(criterion, PASSED if met else FAILED, told, certain, found)


def _line(
    criterion: Criterion, outcome: str, reason: str, certain: bool | None, found: Estimate | None
) -> ClaimLine:
    names = ("value", "ci_low", "ci_high", "n_families", "n_instances")
    numbers: dict[str, Any] = {name: None if found is None else getattr(found, name) for name in names}
    return ClaimLine(
        claim=criterion.name,
        role=criterion.role,
        figure=criterion.figure,
        what=criterion.what,
        relation=criterion.relation,
        threshold=criterion.threshold,
        outcome=outcome,
        certain=certain,
        reason=reason,
        source=criterion.source,
        **numbers,
    )
