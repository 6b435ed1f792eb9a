"""A toy experiment: two numbers a case, summed."""

from __future__ import annotations

from dataclasses import dataclass

from pkv_interp.records.run import control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.experiment import Experiment
from pkv_interp.run.report import Headline, Report
from pkv_interp.run.scoring import Scoring, row_of
from pkv_interp.run.session import Session
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.stage import Stage, stacked
from pkv_interp.run.values import Draws, Threshold
from pkv_interp.tasks import Case, families, field_case


class ToySettings(ExperimentSettings):
    """How many cases, and what goes wrong."""

    instances: int = 2
    bootstrap_draws: Draws = 100
    wrong_part: bool = False
    wrong_summary: str = ""
    competence_threshold: Threshold = 0.0

    SUMMARY_ONLY = ExperimentSettings.SUMMARY_ONLY | {"wrong_summary"}


@dataclass(frozen=True)
class Number:
    """One case's number."""

    clean: float
    corrupt: float


@dataclass(frozen=True)
class Total(TableRow):
    """The sum of a stage."""

    table = "totals"
    stage: str
    total: float


@dataclass(frozen=True)
class Measured:
    """All that was measured."""

    cases: list[Case]
    numbers: Stage[Number]
    drawn: Number


#: Names of parts that were computed, in order, over all runs of the process.
CALLS: list[str] = []


def measure(session: Session[ToySettings]) -> Measured:
    """Number the cases."""
    settings = session.settings
    cases = [
        field_case(family, i, session.tokenizer, seed=settings.seed)
        for family in families(["orders", "alerts"])
        for i in range(settings.instances)
    ]
    session.check_engine(cases[:1])
    rng = session.rng("numbers")
    drawn = session.once("drawn", lambda: Number(float(rng.random()), 0.0), Number)

    def one(case: Case) -> Number:
        CALLS.append(case.instance)
        return Number(float(len(case.clean)), float("nan") if settings.wrong_part else 0.0)

    return Measured(cases, session.each("numbers", cases, one, Number), drawn)


def summarise(found: Measured, scoring: Scoring[ToySettings]) -> Report:
    """Sum them."""
    numbers = found.numbers.of(found.cases)
    held = scoring.on(found.cases, numbers)
    total = float(stacked(numbers, lambda n: n.clean).sum())
    wrong = scoring.settings.wrong_summary
    if wrong == "raises":
        raise ZeroDivisionError("in the summary")
    return Report(
        headlines=[Headline("length", held.mean(held.clean), "tokens a prompt", needs_gate=False)],
        tables=[Total("numbers", total)],
        rows=[row_of(case, "length", clean=n.clean) for case, n in zip(found.cases, numbers, strict=True)],
        controls=[control("sum", 1.0 if wrong == "control" else 0.0, 0.0, 0.5)],
    )


EXPERIMENT = Experiment("toy", ToySettings, Measured, measure, summarise)
