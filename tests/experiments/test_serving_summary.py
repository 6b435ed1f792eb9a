"""The serving experiment's summary and controls on runs with known answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.serving.checks import check_answers, check_runs, check_updates
from experiments.serving.faults import FaultFound
from experiments.serving.figures import FIGURES
from experiments.serving.latency import Update, Updates
from experiments.serving.load import Cell, LoadRun
from experiments.serving.measure import Measured, SceneFound, Side
from experiments.serving.scored import error_of, is_right
from experiments.serving.settings import ServingSettings
from experiments.serving.summary import summarise
from experiments.serving.tables import ArmLine, FaultLine, LoadLine, RatioLine, UpdateLine
from experiments.serving.timings import first_token, first_token_ratio, first_tokens, throughput_ratio
from pkv_interp.run.stage import Stage
from tests.experiments.made_up import record, scoring
from tests.experiments.serving_examples import Judge, failed, run_of, served, settings

#: Seconds to the first token of each arm, and how many requests it is right on, of 4.
FIRST = {"full": 8.0, "erratum": 2.0, "field_last": 1.0, "stale": 0.5, "field_only": 4.0}
RIGHT = {"full": 4, "erratum": 3, "field_last": 4, "stale": 0, "field_only": 1}


def requests(arm: str, by: float = 1.0) -> list[Any]:
    first, right = FIRST.get(arm, 4.0) * by, RIGHT.get(arm, 2)
    cached = {"full": 0, "field_last": 90}.get(arm, 80)
    return [
        served(scene, first=first, right=scene < right, cached=cached, computed=100 - cached)
        for scene in range(4)
    ]


def made_up(chosen: ServingSettings) -> Measured:
    capacity, load = dict[str, LoadRun](), dict[str, LoadRun]()
    for arm in chosen.arms:
        for run in range(3):
            # Runs differ by factors of two, and all arms alike: ratios do not.
            by = 2.0**run
            capacity[Cell(arm, run).instance] = run_of(requests(arm, by), FIRST.get(arm, 4.0) * by)
            for share in chosen.loads:
                load[Cell(arm, run, share).instance] = run_of(requests(arm, by), rate=share)
    scenes = [
        SceneFound(
            family=("documents", "alerts")[scene // 2],
            split="held_out",
            instance=f"{scene}",
            wording="a",
            matches=scene % 2 == 0,
            tokens=dict.fromkeys(chosen.arms, 100),
            old=Side(1.0, True),
            new=Side(1.0, True),
            arms={arm: requests(arm)[scene] for arm in chosen.arms},
        )
        for scene in range(4)
    ]
    fault = FaultFound(8, 8, {"ReadError": 2}, {"missing": 3}, 0, 1e-6, 0, True, "made up")
    update = Update(10.0, 90.0, 20, 80, True, 1e-6, "")
    methods = {"full": replace(update, edit_ms=0.0, first_ms=400.0), "field_only": update}
    updates = {"256/0": Updates("documents", 250, methods), "256/1": Updates("alerts", 252, methods)}
    return Measured(scenes, Stage(capacity), Stage(load), Stage({"server_killed": fault}), Stage(updates))


def test_headlines_have_their_known_answers() -> None:
    chosen = settings()
    report = summarise(made_up(chosen), scoring(chosen))
    values = {name: figure.value for name, figure in report.stated().items()}
    assert values["hit_erratum"] == pytest.approx(0.8)
    assert values["hit_field_last"] == pytest.approx(0.9)
    assert values["capacity_ratio_erratum"] == pytest.approx(4.0)
    assert values["capacity_ratio_field_last"] == pytest.approx(8.0)
    assert values["ttft_p90_ratio"] == pytest.approx(4.0)
    assert values["inject_ttft_ratio"] == pytest.approx(2.0)
    assert values["logprob_error"] == pytest.approx(1e-6)
    shares = {name.removeprefix("right_share_"): v for name, v in values.items() if "right_share" in name}
    assert {arm: shares[arm] for arm in RIGHT} == {arm: n / 4 for arm, n in RIGHT.items()}
    assert set(shares) == set(chosen.arms)


def test_tables_tell_loads_above_capacity_apart() -> None:
    chosen = settings()
    report = summarise(made_up(chosen), scoring(chosen))
    loads = [line for line in report.tables if isinstance(line, LoadLine)]
    assert {(line.load, line.above_capacity) for line in loads} == {(0.5, False), (1.5, True)}
    ratios = [line for line in report.tables if isinstance(line, RatioLine)]
    assert {line.above_capacity for line in ratios} == {False, True}
    arms = {line.arm: line for line in report.tables if isinstance(line, ArmLine)}
    # Of 3 runs at capacity and 3 under load; those above capacity do not count.
    assert {line.n for line in arms.values()} == {24}
    assert arms["stale"].right_per_second == 0.0
    assert arms["erratum"].right_per_second == pytest.approx(arms["erratum"].capacity * 0.75)
    (fault,) = [line for line in report.tables if isinstance(line, FaultLine)]
    assert (fault.failed_tries, fault.in_full, fault.reasons) == (2, 3, "2 ReadError, 3 missing")
    update = {line.method: line for line in report.tables if isinstance(line, UpdateLine)}
    assert (update["field_only"].total_ms, update["field_only"].speedup) == (100.0, 4.0)
    assert update["full"].tokens == 251.0
    assert len(report.rows) == 4 * len(chosen.arms)


def test_every_load_up_to_capacity_is_drawn() -> None:
    chosen = settings("loads=[0.2,0.4,0.6,0.8,1.2]")
    report = summarise(made_up(chosen), scoring(chosen))
    figure: Any = FIGURES["first_token"](record("serving", report.tables))
    assert [trace.name for trace in figure.data] == [f"{load} of capacity" for load in (0.2, 0.4, 0.6, 0.8)]


def test_percentiles_are_of_a_run_and_intervals_over_runs() -> None:
    run = run_of([served(first=float(at)) for at in range(1, 102)])
    assert [first_tokens(run, q) for q in (50, 90, 99)] == pytest.approx([51.0, 91.0, 100.0])
    unanswered = run_of([served(first=3.0), served(first=900.0, failed="ReadError")])
    assert first_tokens(unanswered, 99) == 3.0
    assert unanswered.throughput == 1.0
    runs = [run_of([served(first=first)] * 3, seconds=first) for first in (1.0, 2.0, 4.0)]
    spread = first_token(runs, 50)
    assert spread.value == pytest.approx(2.0)
    assert spread.ci_low is not None
    assert 0 < spread.ci_low < 1.0
    half = [run_of([served(first=first)] * 3, seconds=first) for first in (2.0, 4.0, 8.0)]
    ratio = first_token_ratio(half, runs, 90)
    assert (ratio.ci_low, ratio.value, ratio.ci_high) == pytest.approx((2.0, 2.0, 2.0))
    assert throughput_ratio(runs, half).value == pytest.approx(2.0)


def test_what_is_right_is_the_first_word() -> None:
    assert is_right(" share", "share")
    assert is_right("\nshare.", "share")
    assert not is_right(" sharecropper", "share")
    assert not is_right(" block, not share", "share")
    assert not is_right("", "share")


def test_an_error_is_of_what_was_told_and_of_what_is_known() -> None:
    expected = np.log(np.array([0.5, 0.3, 0.2]))
    told = {0: float(expected[0]) + 0.1, 2: float(expected[2]) - 0.3}
    assert error_of(told, expected) == pytest.approx(0.3)
    assert error_of({}, expected) is None
    assert error_of(told, None) is None


def test_controls_in_calm_can_fail() -> None:
    assert failed(check_answers, [served(), served(scene=1)]) == set()
    assert "server_says_what_model_says" in failed(check_answers, [served(), served(error=0.5)])
    assert "log_probabilities_told" in failed(check_answers, [served(), served(error=None)])
    assert "served_in_calm" in failed(check_answers, [served(), served(in_full="missing")])
    assert "served_in_calm" in failed(check_answers, [served(failed="ReadError"), served()])


def test_controls_under_load_can_fail() -> None:
    good = run_of([served()] * 4)

    def beside(*, off: int = 0, **changes: Any) -> set[str]:
        return failed(check_runs, [good, run_of([served(), served(**changes)], off=off)])

    assert beside() == set()
    assert "hits_equal_counters" in failed(check_runs, [good, run_of([served()] * 4, off=3)])
    assert "served_under_load" in failed(check_runs, [good, run_of([served(in_full="taken")])])
    assert "same_under_load" in failed(check_runs, [good, run_of([served(error=0.5)])])
    assert beside(off=1) == {"hits_equal_counters"}
    assert beside(failed="ReadError") == {"served_under_load"}


def of_summary(session: Any, found: Measured) -> None:
    """The controls that the summary makes, noted in a session."""
    for one in summarise(found, scoring(settings())).controls:
        session.control(one.name, one.value, one.expected, one.tolerance)


def test_a_server_that_falls_silent_under_load_ends_the_run() -> None:
    """What was compared with nothing passes no control: a run in which nothing was told is no success."""
    silent = run_of([served(error=None)] * 4)
    judged = Judge()
    check_runs(judged, [silent])  # type: ignore[arg-type]
    assert "same_under_load" not in judged.controls
    chosen = settings()
    good = made_up(chosen)
    assert failed(of_summary, good) == set()
    every = Stage(dict.fromkeys(good.load.results, silent))
    assert "told_under_load" in failed(of_summary, replace(good, load=every))
    one = Stage(good.load.results | {Cell(chosen.arms[0], 0, chosen.loads[0]).instance: silent})
    assert "told_under_load" in failed(of_summary, replace(good, load=one))
    # Who has no answer has told nothing; that is another control's.
    unanswered = run_of([served(), served(error=None, failed="ReadError")])
    only = Stage(good.load.results | {Cell(chosen.arms[0], 0, chosen.loads[0]).instance: unanswered})
    assert failed(of_summary, replace(good, load=only)) == set()


def test_updates_that_are_held_against_nothing_end_the_run() -> None:
    good = made_up(settings())
    case = good.updates.results["256/0"]
    silent = {name: replace(one, error=None) for name, one in case.methods.items()}
    judged = Judge()
    check_updates(judged, [replace(case, methods=silent)])  # type: ignore[arg-type]
    assert "updates_exact" not in judged.controls
    untold = Stage(good.updates.results | {"256/0": replace(case, methods=silent)})
    assert "told_in_updates" in failed(of_summary, replace(good, updates=untold))
    # Full re-prefills are held against nothing, and no length is no update.
    whole = replace(case, methods=case.methods | {"full": silent["full"]})
    assert failed(of_summary, replace(good, updates=Stage({"256/0": whole}))) == set()
    assert failed(of_summary, replace(good, updates=Stage({}))) == set()


def test_controls_of_updates_can_fail() -> None:
    update = Update(0.0, 1.0, 20, 80, True, 1e-6, "")

    def told(**changes: Any) -> list[Updates]:
        return [Updates("documents", 100, {"full": update, "field_only": replace(update, **changes)})]

    assert failed(check_updates, told(error=None)) == set()
    assert "updates_served" in failed(check_updates, told(failed="taken"))
    assert "updates_exact" in failed(check_updates, told(error=0.5))
