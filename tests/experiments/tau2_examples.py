"""Visits of tau2-bench with known answers, without a package and without a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from experiments.tau2.episodes import COURSES, EpisodeRun
from experiments.tau2.measure import Known, Measured
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.summary import summarise
from experiments.tau2.turns import About, ArmTurns, Before, Checks, VisitRun
from pkv_interp.agent.tau2.keeping import ARMS
from pkv_interp.run.report import Report
from pkv_interp.run.stage import Stage
from tests.experiments.made_up import scoring

NAMES = tuple(arm.name for arm in ARMS)
GOOD = Checks(0.0, 0.0, 1.0, 1.0)
#: Tokens run for a turn of 100, by arm.
TOKENS = {
    "full": 100,
    "prefix_cache": 50,
    "erratum": 25,
    "field_only": 20,
    "field_erratum": 30,
    "field_last": 25,
    "unified": 40,
    "stale": 10,
}


def arm(name: str, right: tuple[bool, ...], gold: tuple[int, ...]) -> ArmTurns:
    """An arm that is right where it says so; a wrong call is refused."""
    n = len(right)
    return ArmTurns(
        action=np.array([g if r else 1 - g for r, g in zip(right, gold, strict=True)], np.int64),
        accepted=np.array(right, bool),
        matches=np.ones(n, bool),
        greedy=np.ones(n, bool),
        margin=np.array([1.0 if r else -1.0 for r in right]),
        tokens=np.full(n, TOKENS[name], np.int64),
        length=np.full(n, 100, np.int64),
        ms=np.full(n, float(TOKENS[name])),
        opening=0 if name == "full" else 80,
        opening_ms=0.0 if name == "full" else 120.0,
        whole=all(right),
    )


def visit(
    user: str,
    domain: str = "retail",
    *,
    gold: tuple[int, ...] = (0,),
    before: bool = True,
    wrong: tuple[str, ...] = ("stale",),
    checks: Checks = GOOD,
) -> VisitRun:
    """A visit in which the arms named in ``wrong`` are wrong at every turn."""
    about = About(
        domain,
        "refund",
        user,
        f"{domain}-refund-{user}-{len(gold)}",
        ("status",) * len(gold),
        ("pending",) * len(gold),
        gold,
        (True,) * len(gold),
        tuple(i % 2 == 0 for i in range(len(gold))),
    )
    arms = {name: arm(name, (name not in wrong,) * len(gold), gold) for name in NAMES}
    return VisitRun(about, Before(1.0 if before else -1.0, before, before), arms, 30, checks)


def episode(
    user: str,
    domain: str = "retail",
    *,
    wrong: tuple[str, ...] = ("stale",),
    unchanged_wrong: tuple[str, ...] = (),
    told: float = 1.0,
) -> EpisodeRun:
    """An episode whose arms in ``wrong`` are wrong once the state has changed and is not looked up anew."""
    by_course = {"unchanged": unchanged_wrong, "changed": wrong, "looked_up": ()}
    return EpisodeRun({course: visit(user, domain, wrong=by_course[course]) for course in COURSES}, told)


def measured(
    decisions: list[VisitRun] | None = None,
    loops: list[VisitRun] | None = None,
    episodes: list[EpisodeRun] | None = None,
) -> Measured:
    """Four decisions in two domains, of which one is wrong before the change; two loops, three episodes."""
    decided = decisions or [
        visit("ann"),
        visit("bob", gold=(1,)),
        visit("cem", "airline", before=False),
        visit("dee", "airline", gold=(1,), wrong=("stale", "field_only")),
    ]
    looped = [visit("eve", gold=(0, 1)), visit("fay", gold=(1, 0), wrong=("stale", "unified"))]
    looped = looped if loops is None else loops
    episodes = episodes or [
        episode("gil"),
        episode("hal", wrong=("stale", "field_only")),
        episode("ida", "airline", wrong=("stale", "full"), unchanged_wrong=("unified",)),
    ]
    known = [Known(name, "26.3", "0" * 64, 10, 1) for name in dict.fromkeys(v.about.domain for v in decided)]
    return Measured(
        known,
        Stage({one.about.instance: one for one in decided}),
        Stage({one.about.instance: one for one in looped}),
        Stage({one.courses["changed"].about.instance: one for one in episodes}),
    )


def with_arms(run: VisitRun, *names: str) -> VisitRun:
    """A visit of which only these arms were run."""
    return replace(run, arms={name: run.arms[name] for name in names})


def summed(found: Measured | None = None, **changes: Any) -> Report:
    """The report on made-up measurements."""
    settings = Tau2Settings(bootstrap_draws=200, **changes)
    return summarise(found or measured(), scoring(settings))


def with_checks(**changes: Any) -> Measured:
    """Measurements of which one visit's checks are not as they must be."""
    return measured([visit("ann"), visit("bob", gold=(1,), checks=replace(GOOD, **changes))])


def lines(report: Any, name: str, **wanted: Any) -> list[Any]:
    """Lines of a report's table that have these values."""
    rows = [row for row in report.tables if row.table == name]
    return [row for row in rows if all(getattr(row, key) == value for key, value in wanted.items())]
