"""The experiment on tau2-bench: its summary on known answers, cases from a made-up shop, its small run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.tau2.cases import WAYS, build_cases
from experiments.tau2.episodes import COURSES, EpisodeRun, course_of
from experiments.tau2.figures import FIGURES
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.turns import Checks
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.run import ControlFailure, raise_for_controls
from tests import runs
from tests.agent.tau2.fake import shop
from tests.experiments.configs import compose
from tests.experiments.made_up import record as made_up_record
from tests.experiments.tau2_examples import (
    NAMES,
    lines,
    measured,
    summed,
    visit,
    with_arms,
    with_checks,
)
from tests.families import tiny


def test_headlines_have_their_known_answers() -> None:
    stated = {name: one.value for name, one in summed(competence_threshold=0.5).stated().items()}
    assert stated["decisions"] == 4
    assert stated["competence"] == 7 / 8
    assert (stated["competence_retail"], stated["competence_airline"]) == (1.0, 0.75)
    assert (stated["both_right_retail"], stated["both_right_airline"]) == (1.0, 0.5)
    success = {name: stated[f"success_{name}"] for name in NAMES}
    assert success == dict.fromkeys(NAMES, 1.0) | {"field_only": 0.75, "stale": 0.0}
    assert stated["agreement_field_only"] == 0.75
    assert (stated["tokens_ratio_erratum"], stated["ttft_ratio_stale"]) == (4.0, 10.0)
    assert (stated["loop_success_full"], stated["loop_success_unified"], stated["loop_success_stale"]) == (
        1.0,
        0.5,
        0.0,
    )
    # A loop is paid for with its opening: 200 over 80 + 2 * 25.
    assert stated["loop_tokens_ratio_erratum"] == pytest.approx(200 / 130)


def test_a_loop_is_paid_for_with_its_opening_in_time_as_in_tokens() -> None:
    costs = {(row.part, row.what): row.value for row in lines(summed(), "cost", arm="erratum")}
    assert costs == {
        ("decisions", "tokens"): 4.0,
        ("decisions", "seconds"): 4.0,
        ("loops", "tokens"): pytest.approx(200 / (80 + 2 * 25)),
        ("loops", "seconds"): pytest.approx(200 / (120 + 2 * 25)),
    }


def test_below_the_gate_competence_and_cost_alone_are_stated_and_tables_say_the_rest() -> None:
    report = summed(measured([visit("ann", before=False), visit("bob", gold=(1,))]))
    stated = set(report.stated())
    assert not any(name.startswith(("success_", "agreement_", "loop_success_")) for name in stated)
    assert {"competence", "competence_retail", "both_right_retail", "tokens_ratio_erratum"} <= stated
    (chosen,) = lines(report, "shares", sample="both_right", arm="full", quantity="success")
    assert (chosen.value, chosen.n_instances) == (1.0, 1)


def test_where_nothing_is_right_in_both_states_no_share_of_it_is_told() -> None:
    report = summed(measured([visit("ann", before=False), visit("bob", before=False)], []))
    assert lines(report, "shares", sample="both_right") == []
    assert lines(report, "by_turn") == []
    assert lines(report, "shares", part="loops") == []


def test_turns_and_whole_visits_are_told_apart() -> None:
    report = summed()
    assert [row.value for row in lines(report, "by_turn", arm="unified")] == [0.5, 0.5]
    (whole,) = lines(report, "shares", part="loops", arm="unified", quantity="whole")
    assert (whole.value, whole.n_instances) == (0.5, 2)
    assert len(list(report.rows)) == len(NAMES) * (4 + 4 + 3 * 3)
    assert all(
        row.extra["success"] == (row.arm not in ("stale",)) for row in report.rows if row.family == "ann"
    )


def test_arms_that_a_server_was_not_asked_are_in_no_table() -> None:
    names = ("full", "prefix_cache", "erratum", "field_last", "stale")
    asked = [with_arms(visit(user), *names) for user in ("ann", "bob")]
    played = EpisodeRun({course: with_arms(visit("gil"), *names) for course in COURSES}, 1.0)
    report = summed(
        measured(asked, asked, [played]), competence_threshold=0.5, url="http://here", engine="vllm"
    )
    assert not any("unified" in name or "field_only" in name for name in report.stated())
    for table in ("shares", "cost", "by_turn", "episodes"):
        assert {row.arm for row in lines(report, table)} == set(names)
    for draw in FIGURES.values():
        drawn: Any = draw(made_up_record("tau2", report.tables))
        assert "unified" not in str(drawn.data)


def failed(**broken: float) -> set[str]:
    """Controls that stop a run where one visit's checks are not as they must be."""
    raise_for_controls(summed().controls)
    with pytest.raises(ControlFailure) as caught:
        raise_for_controls(summed(with_checks(**broken)).controls)
    return {name for name in broken if name in str(caught.value)}


def test_every_control_can_fail() -> None:
    assert "prefix_cache_equals_full" in failed(prefix_cache_equals_full=0.01)
    assert "splice_in_place" in failed(splice_in_place=0.01)
    assert "stale_fails" in failed(stale_fails=0.5)
    assert "right_succeeds" in failed(right_succeeds=0.5)


def test_a_server_that_tells_no_log_probabilities_has_no_such_control() -> None:
    silent = visit("ann", checks=Checks(None, None, 1.0, 1.0))
    untold = EpisodeRun(dict.fromkeys(COURSES, silent), 1.0)
    names = {one.name for one in summed(measured([silent], [silent], [untold])).controls}
    assert names == {"stale_fails", "right_succeeds", "tools_tell_states", "unchanged_alike"}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_from_the_tables(name: str) -> None:
    report = summed()
    drawn: Any = FIGURES[name](made_up_record("tau2", report.tables))
    assert len(drawn.data) >= 2
    marked: Any = FIGURES[name](made_up_record("tau2", report.tables, competent=False))
    assert NOT_COMPETENT in marked.layout.title.text


def test_published_figures_name_headlines_that_there_are() -> None:
    stated = set(summed(competence_threshold=0.5).stated())
    figures = published(experiment="tau2")
    assert len(figures) == 13
    assert set(figures["headline"]) <= stated


def test_cases_are_balanced_and_go_round_the_topics() -> None:
    cases = build_cases(
        shop(), Tau2Settings(records=8, loops=2, loop_turns=2, episodes=3), tiny("llama").tokenizer
    )
    assert len(cases.decisions) == 8
    assert len(cases.episodes) == 3
    for one in cases.episodes:
        courses = [course_of(one, course) for course in COURSES]
        assert [visit.requests[0].changed for visit in courses] == [False, True, True]
        assert [visit.requests[0].looked_up for visit in courses] == [False, False, True]
        assert [visit.right(0) for visit in courses] == [one.starts[0], 1 - one.starts[0], 1 - one.starts[0]]
        assert len({visit.instance for visit in courses}) == 3
    topics = [one.records[0].topic.name for one in cases.decisions]
    assert topics[:3] == ["refund", "swap", "pay"]
    for name in set(topics):
        ways = [
            (one.starts[0], one.requests[0].first)
            for one in cases.decisions
            if one.records[0].topic.name == name
        ]
        assert len(set(ways)) == min(len(ways), len(WAYS))
    assert all(one.requests[0].changed for one in cases.decisions)
    assert {one.records[0].user for one in cases.loops} <= {"ann", "bob"}
    for loop in cases.loops:
        assert len({record.record for record in loop.records}) == 2
        assert len({record.topic for record in loop.records}) == 1
        assert any(request.changed for request in loop.requests)
    assert cases.unaligned > 0  # "processed" is longer than "pending" for this tokenizer
    names = [one.instance for one in (*cases.decisions, *cases.loops)]
    assert len(set(names)) == len(names)


def test_no_two_records_of_a_loop_share_what_has_their_state() -> None:
    cases = build_cases(shop(), Tau2Settings(records=1, loops=40, loop_turns=2), tiny("llama").tokenizer)
    # Both payments of a user are by one gift card: a balance that the first spends is not the second's own.
    assert {loop.records[0].topic.name for loop in cases.loops} == {"refund", "swap"}
    for loop in cases.loops:
        first, second = (record.holders for record in loop.records)
        assert first.isdisjoint(second)


def test_all_records_are_taken_where_no_number_is_given() -> None:
    few, every = (
        build_cases(shop(), Tau2Settings(records=n, loops=0), tiny("llama").tokenizer) for n in (3, None)
    )
    assert (len(few.decisions), len(few.loops)) == (3, 0)
    assert len(every.decisions) == every.gated - every.unaligned


def test_the_whole_policy_can_be_asked_for() -> None:
    settings = Tau2Settings(records=1, loops=0, policy="full")
    (one,) = build_cases(shop(), settings, tiny("llama").tokenizer).decisions
    assert one.policy.startswith("# A shop")
    assert "Once per order." in one.policy


def test_a_missing_package_is_one_line_before_a_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    monkeypatch.setattr("pkv_interp.agent.tau2.package.importlib.util.find_spec", lambda _: None)
    with pytest.raises(PkvError, match="tau2-bench is not installed") as raised:
        find("tau2").run(model="tiny-llama", results_dir=tmp_path / "results")
    assert "pip install" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("domains=[telecom]", "domains"),
        ("domains=[retail,retail]", "twice"),
        ("loop_turns=5", "less than or equal to 4"),
        ("policy=short", "policy"),
        ("erratum=loud", "use bare, tagged"),
        ("url=http://here", "go together"),
        ("engine=vllm", "go together"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    name = argument.split("=")[0]
    with pytest.raises(PkvError, match=cause):
        compose("tau2", *[a for a in runs.TAU2 if a.split("=")[0] != name], argument)


@pytest.fixture(scope="module")
def record(tau2_results: Path) -> RunRecord:
    (found,) = load_records(tau2_results)
    return found


def test_a_small_run_acts_in_the_environment_and_claims_no_arm(record: RunRecord) -> None:
    assert {one.name for one in record.controls} == {
        "prefix_cache_equals_full",
        "splice_in_place",
        "stale_fails",
        "right_succeeds",
        "tools_tell_states",
        "unchanged_alike",
    }
    assert record.competence is not None
    assert not record.competence.passed
    assert record.headline["decisions"].value == 8
    assert "success_full" not in record.headline
    decided = [row for row in record.rows if row.extra["part"] == "decisions"]
    assert len(decided) == 8 * len(NAMES)
    assert len(record.rows) == (8 + 2 * 2 + 2 * 3) * len(NAMES)
    run = {name: sum(int(r.extra["tokens_run"] or 0) for r in decided if r.arm == name) for name in NAMES}
    assert run["stale"] < run["erratum"] < run["full"]
    assert run["stale"] < run["field_only"] < run["prefix_cache"] < run["full"]
    # A call of the other state's tool raises or changes what it must not, so success says what was decided.
    assert all((row.extra["success"] is True) == ((row.patched or 0.0) > 0) for row in record.rows)
