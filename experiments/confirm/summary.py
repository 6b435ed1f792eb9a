"""From what the confirmatory run measured to its report: every claim, judged."""

from collections.abc import Sequence
from dataclasses import replace

from experiments.confirm.claims import figures_of, parts_of
from experiments.confirm.found import Chosen, Measured
from experiments.confirm.judging import Evidence, Outcome, judge, part_line
from experiments.confirm.rows import score_rows, tried_rows
from experiments.confirm.screening import screened
from experiments.confirm.settings import ConfirmSettings
from experiments.confirm.tables import PASSED, ChosenLine, FileLine
from pkv_interp.records.tables import TableRow
from pkv_interp.run.preregistration_file import parse
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Resampling, Scoring
from pkv_interp.run.screened import Screened
from pkv_interp.stats import Estimate

#: Kinds of pairs by which competence is told.
KINDS = ("field", "polarity")


def summarise(found: Measured, scoring: Scoring[ConfirmSettings]) -> Report:
    """Verdicts, estimates and rows of a run.

    Everything that claims are judged by is in the text of the preregistration, which was measured with.
    """
    plan = parse(found.preregistration)
    resampling: Resampling = {"seed": plan.seed, "draws": plan.sizes.draws}
    model = plan.model(found.model)
    decided = [d for mine in found.tried.values() for one in mine.found for d in one.decisions]
    gate = scoring.gate(decided, plan.competence, _screened(found) if model.screened else None)
    shown = found if gate.passed else replace(found, scores=None)
    needed = None if model.screened else plan.competence
    parts = {name: part_line(name, part, needed) for name, part in parts_of(shown, model).items()}
    figures = {} if shown.scores is None else figures_of(shown.scores, plan, scoring.floor)
    evidence = Evidence(figures, parts, model, resampling)
    outcomes = [judge(claim, plan, found.model, evidence) for claim in plan.claims]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_counts(outcomes), *_verdicts(outcomes)],
        tables=[
            gate.table,
            *gate.screen,
            *(one.line for one in outcomes),
            *parts.values(),
            *([] if found.chosen is None else _chosen(found.chosen)),
            FileLine(
                str(found.files["preregistration"]), str(found.files["scenarios"]), found.files["commit"]
            ),
        ],
        rows=[
            *tried_rows(found.tried),
            *tried_rows(found.tried_ranking),
            *([] if shown.scores is None else score_rows(shown.scores)),
        ],
    )


def _screened(found: Measured) -> Screened:
    """Pairs that were tried to be scored and to rank: both tell competence, as in every screened run."""
    return screened(
        [one for tried in (found.tried, found.tried_ranking) for kind, one in tried.items() if kind in KINDS]
    )


def _counts(outcomes: Sequence[Outcome]) -> list[Headline]:
    judged = [one for one in outcomes if one.applies]
    passed = sum(one.line.outcome == PASSED for one in judged)
    left = len(outcomes) - len(judged)
    return [
        Headline("claims_passed", _count(passed), "claims that passed", False, NOT_NEGATIVE),
        Headline(
            "claims_total",
            _count(len(judged)),
            f"claims that were judged; {left} do not apply",
            False,
            NOT_NEGATIVE,
        ),
    ]


def _verdicts(outcomes: Sequence[Outcome]) -> list[Headline]:
    """Each claim that applies: 1 or 0, and its estimate beside it."""
    found = []
    for one in outcomes:
        if one.estimate is None:
            continue
        name, outcome = one.line.claim, one.line.outcome
        told = f"{outcome}: {one.estimate}"
        found.append(Headline(name, _count(int(outcome == PASSED), one.estimate), told, bounds=SHARE))
        found.append(Headline(f"{name}_estimate", one.estimate, f"{_wanted(one)}, {one.line.over}"))
    return found


def _wanted(one: Outcome) -> str:
    line = one.line
    if line.direction == "between":
        return f"between {line.low:g} and {line.high:g}"
    return f"{line.direction} {line.low if line.low is not None else line.high:g}"


def _count(value: int, of: Estimate | None = None) -> Estimate:
    """A count. It is no estimate of anything, so both ends of its interval are the value itself."""
    n_families, n_instances = (1, 1) if of is None else (of.n_families, of.n_instances)
    return Estimate(value=value, ci_low=value, ci_high=value, n_families=n_families, n_instances=n_instances)


def _chosen(chosen: Chosen) -> list[TableRow]:
    return [
        ChosenLine(what, i + 1, name)
        for what, names in (
            ("read head", [] if chosen.heads is None else [f"L{la}H{h}" for la, h in chosen.heads.top]),
            ("label", [] if chosen.labels is None else chosen.labels.strongest),
            ("probed label", [] if chosen.labels is None else chosen.labels.single),
        )
        for i, name in enumerate(names)
    ]
