"""Which paths of the prefill carry the conclusion, and whether the others are redundant."""

from collections.abc import Sequence

import numpy as np

from experiments.anatomy.measure import Measured
from experiments.anatomy.prefill_paths import CROSSED, JOIN
from experiments.anatomy.tables import PathLine
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.stats import Estimate, ratio_of_means

Section = tuple[list[Headline], list[TableRow]]
#: Margins of one case, clean then corrupt.
Both = tuple[float, float]
#: Headlines by the paths closed: what that takes away from the gap.
_LOST = {
    "rule_field": ("path_rule_field", "gap lost when rule tokens may not see the field"),
    "later_field": ("path_later_field", "gap lost when tokens after the rule cannot see the field"),
    "later_rule": ("path_later_rule", "gap lost when tokens after the rule cannot see it"),
    "question_rule": ("path_question_rule", "gap lost when the question may not see the rule"),
    JOIN.join(CROSSED): ("path_all", "gap lost with these four paths closed"),
}


def prefill_paths(found: Measured, held: Scorer) -> Section:
    """What is left of the gap, path by path, together, and with one path to the field alone."""
    scored = found.paths.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for name in [name for name in scored[0].clean if all(name in one.clean for one in scored)]:
        both = [(one.clean[name], one.corrupt[name]) for one in scored]
        lines.append(_line(held, "closed", name, both))
        if name in _LOST:
            headline, what = _LOST[name]
            headlines.append(Headline(headline, _lost(held, headline, both), what))
    for name in [name for name in scored[0].only if all(name in one.only for one in scored)]:
        both = [one.only[name] for one in scored]
        lines.append(_line(held, "only", name, both))
        if name == "rule_field":
            what = "gap left when only rule tokens see the field"
            headlines.append(Headline("only_rule_field", _left(held, both), what))
    if all(one.random for one in scored):
        pairs = [np.mean(one.random, axis=0) for one in scored]
        both = [(float(clean), float(corrupt)) for clean, corrupt in pairs]
        lines.append(_line(held, "random", "rule_field", both))
        what = "gap lost when rule tokens cannot see another span"
        headlines.append(Headline("path_rule_random", _lost(held, "path_rule_random", both), what))
    return headlines, lines


def _left(held: Scorer, both: Sequence[Both]) -> Estimate:
    apart = np.array([clean - corrupt for clean, corrupt in both])
    return ratio_of_means(apart, held.gap, held.families, **held.resampling)


def _lost(held: Scorer, name: str, both: Sequence[Both]) -> Estimate:
    """The share of the gap that is gone; the rows of the arm hold both margins."""
    clean, corrupt = np.array(both).T
    held.arm(name, clean, corrupt_patched=corrupt)
    gone = held.clean - held.corrupt - (clean - corrupt)
    return ratio_of_means(gone, held.gap, held.families, **held.resampling)


def _line(held: Scorer, how: str, path: str, both: Sequence[Both]) -> PathLine:
    clean, corrupt = np.array(both).T
    rates = {"clean_right": float((clean > 0).mean()), "corrupt_right": float((corrupt < 0).mean())}
    return PathLine.of(_left(held, both), how=how, path=path, **rates)
