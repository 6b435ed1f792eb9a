"""The agent experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.agent.arms import ArmTurns, Checks, EpisodeRun
from experiments.agent.cases import Cases, build_cases
from experiments.agent.experiment import EXPERIMENT
from experiments.agent.figures import FIGURES
from experiments.agent.measure import Measured
from experiments.agent.settings import AgentSettings
from experiments.agent.summary import summarise
from experiments.agent.tables import LAYOUTS, Design, PairDifference
from experiments.agent.turns import PHASES
from pkv_interp.agent import ARMS, Episode
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.records.run import ControlFailure, raise_for_controls
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage, key_of
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

NAMES = [arm.name for arm in ARMS]


@pytest.fixture(scope="module")
def results(agent_results: Path) -> Path:
    return agent_results


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    (found,) = load_records(results)
    return found


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_record_is_valid_and_its_controls_have_passed(results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(results)]) == 0
    controls = {control.name: control for control in record.controls}
    equal = {"stale_equals_full", "prefix_cache_equals_full", "splice_in_place"}
    assert set(controls) == equal | {"stale_refused", "current_accepted"}
    assert controls["splice_in_place"].tolerance == 1e-4
    assert not (results / ".partial").exists()


def test_random_weights_fail_the_gate_and_claim_only_times(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence", *(f"ttft_speedup_{name}" for name in NAMES[1:])}


def test_tables_and_rows_follow_from_the_settings(record: RunRecord) -> None:
    assert len(record.rows) == 2 * 4 * len(ARMS)
    for quantity in ("success", "agreement"):
        shown = lines(record, "by_turn", quantity=quantity)
        assert [(line["arm"], line["turn"]) for line in shown] == [(a, t) for a in NAMES for t in range(1, 5)]
    assert {line["value"] for line in lines(record, "by_turn", arm="full", quantity="agreement")} == {1.0}
    assert {line["value"] for line in lines(record, "phases", arm="prefix_cache", quantity="agreement")} == {
        1.0
    }
    (before,) = lines(record, "phases", arm="stale", quantity="agreement", phase="before")
    assert before["value"] == 1.0
    assert (
        {"all", "before", "changed"}
        <= {line["phase"] for line in lines(record, "phases")}
        <= {"all", *PHASES}
    )
    times = [line["value"] for line in lines(record, "cost", arm="full")]
    assert times == sorted(times)
    run = {row.arm: 0 for row in record.rows}
    for row in record.rows:
        run[row.arm] += int(row.extra["tokens_run"] or 0)
    for line in lines(record, "speed", what="tokens"):
        assert line["value"] == pytest.approx(run["full"] / run[line["arm"]])
    assert run["unified"] < run["field_erratum"] < run["full"]
    assert run["compose_only"] < run["stale"] < run["prefix_cache"] < run["full"]
    (design,) = lines(record, "design")
    assert (design["episodes"], design["turns"]) == (2, 8)
    for quantity in ("success", "agreement"):  # all episodes of this run were run in both layouts
        late = lines(record, "layouts", layout=LAYOUTS[True], quantity=quantity, phase="changed")
        whole = lines(record, "phases", quantity=quantity, phase="changed")
        assert [line["value"] for line in late] == [line["value"] for line in whole]
        assert len(lines(record, "layouts", layout=LAYOUTS[False], quantity=quantity)) == 2 * len(ARMS)


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    curves = [trace for trace in figure.data if trace.type == "bar" or trace.mode == "lines+markers"]
    shown = {tuple(trace.y) for trace in curves}
    if name == "success":
        want = tuple(line["value"] for line in lines(record, "by_turn", arm="unified", quantity="success"))
    elif name == "cost":
        want = tuple(line["value"] for line in lines(record, "cost", arm="unified"))
    elif name == "layouts":
        wanted = {"layout": LAYOUTS[False], "quantity": "success", "phase": "changed"}
        want = tuple(line["value"] for line in lines(record, "layouts", **wanted))
    else:
        want = tuple(line["value"] for line in lines(record, "phases", quantity="success", phase="all"))
    assert want in shown


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("domains=[documents]", "two families"),
        ("domains=[documents,orders]", "of the other split"),
        ("turns=7", "less than or equal to 6"),
        ("erratum=loud", "use bare, tagged"),
        ("sink=eos", "sink"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    name = argument.split("=")[0]
    with pytest.raises(PkvError, match=cause):
        compose("agent", *[a for a in runs.AGENT if a.split("=")[0] != name], argument)


@pytest.fixture
def settings() -> AgentSettings:
    made = compose("agent", "instances=3", "turns=4", "n_fillers=0", "bootstrap_draws=200")
    assert isinstance(made, AgentSettings)
    return made


def episode_run(one: Episode, **broken: float) -> EpisodeRun:
    """An episode of a made-up model that decides by what its arm tells it, and by nothing else."""
    changed = np.array([turn.value != one.turns[0].value for turn in one.turns])
    right = dict.fromkeys(NAMES, np.ones(len(changed), bool))
    for name in ("field_only", "compose_only", "stale"):
        right[name] = ~changed
    right["erratum_only"] = ~changed | (one.family.name != "documents")
    cost = {"full": 12.0, "prefix_cache": 6.0, "unified": 2.0}

    def turns(name: str) -> ArmTurns:
        margin = np.where(right[name], 1.0, -1.0)
        took = cost.get(name, 3.0)
        return ArmTurns(
            right=right[name],
            greedy_right=right[name],
            margin=margin,
            matched_margin=margin,
            tokens=np.full(len(changed), int(10 * took)),
            length=np.full(len(changed), 120),
            ms=np.full(len(changed), took),
        )

    equal = dict.fromkeys(("stale_equals_full", "prefix_cache_equals_full", "splice_in_place"), 0.0)
    tools = dict.fromkeys(("stale_refused", "current_accepted"), 1.0)
    return EpisodeRun(
        {name: turns(name) for name in NAMES},
        setup_ms=5.0,
        policy_tokens=60,
        checks=Checks(**equal | tools | broken, tied=0),
    )


def summed(settings: AgentSettings, **broken: dict[str, float]) -> Report:
    """The report of the made-up model; ``asked`` and ``other`` break checks of the runs in that layout."""
    cases = build_cases(settings, tiny("llama").tokenizer)
    model: dict[str, str | int | float | bool | None] = {"dtype": "float32", "random_weights": False}
    head = Head(model, (), {}, environment())
    found = Measured(
        cases,
        Stage({key_of(one): episode_run(one, **broken.get("asked", {})) for one in cases.all}),
        Stage({key_of(one): episode_run(one, **broken.get("other", {})) for one in cases.both_layouts}),
    )
    return summarise(found, Scoring(settings, head))


def test_the_headline_has_its_known_answers(settings: AgentSettings) -> None:
    report = summed(settings)
    assert report.gate is not None
    assert report.gate.passed
    headline = report.stated()
    values = {name: estimate.value for name, estimate in headline.items()}
    for arm in ("full", "unified", "prefix_cache", "field_erratum"):
        assert values[f"success_{arm}"] == values[f"success_changed_{arm}"] == 1.0
    assert values["success_changed_stale"] == values["success_changed_field_only"] == 0.0
    assert 0.3 < values["success_stale"] < 0.7
    assert values["success_changed_erratum_only"] == pytest.approx(7 / 8, abs=0.05)
    assert values["agreement_stale"] == values["success_stale"]
    assert values["ttft_speedup_unified"] == pytest.approx(6.0)
    assert values["ttft_speedup_prefix_cache"] == pytest.approx(2.0)
    assert headline["success_unified"].n_families == 8
    assert all(0 < len(figure.what.split()) <= 10 for figure in headline.values())
    (pair,) = [
        line
        for line in report.tables
        if isinstance(line, PairDifference) and (line.first, line.second) == ("full", "unified")
    ]
    assert pair.value == 0.0
    (design,) = [line for line in report.tables if isinstance(line, Design)]
    assert design.right_action_first_in_menu == 0.5
    assert 0.4 <= design.value_is_trigger <= 0.6
    raise_for_controls(report.controls)


BROKEN = [("stale_equals_full", 1e-3), ("splice_in_place", 1e-3), ("stale_refused", 0.9)]


@pytest.mark.parametrize("layout", ["asked", "other"])
@pytest.mark.parametrize(("name", "value"), BROKEN)
def test_a_failed_control_ends_the_run(name: str, value: float, layout: str, settings: AgentSettings) -> None:
    report = summed(settings, **{layout: {name: value}})
    with pytest.raises(ControlFailure, match=name):
        raise_for_controls(report.controls)


def test_the_other_layout_is_left_out_where_nothing_asks_for_it(settings: AgentSettings) -> None:
    alone = settings.model_copy(update={"both_layouts": 0})
    assert build_cases(alone, tiny("llama").tokenizer).both_layouts == []
    tables = {line.table for line in summed(alone).tables}
    assert "layouts" not in tables
    assert tables | {"layouts"} == {line.table for line in summed(settings).tables}


def test_episodes_of_both_layouts_are_the_first_of_each_domain(settings: AgentSettings) -> None:
    cases: Cases = build_cases(settings, tiny("llama").tokenizer)
    assert len(cases.all) == 8 * 3
    kept = [[one.instance for one in cases.all[i : i + 2]] for i in range(0, 24, 3)]
    assert [one.instance for one in cases.both_layouts] == [name for pair in kept for name in pair]


def test_the_defaults_are_those_of_the_config() -> None:
    assert compose("agent").model_dump(mode="json") == AgentSettings().model_dump(mode="json")


def test_a_summary_of_the_stored_turns_is_the_same_record(record: RunRecord) -> None:
    assert record.path is not None
    again = EXPERIMENT.summarise_again(record.path)
    for name in ("rows", "tables", "headline", "controls", "competence"):
        assert getattr(again, name) == getattr(record, name)


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="agent")
    assert frame["id"].is_unique
    assert set(frame["headline"]) == {
        "success_unified", "success_full", "agreement_unified", "ttft_speedup_unified",
        "success_erratum_only", "success_stale",
    }  # fmt: skip
    ours = published("agreement_unified", experiment="agent")
    assert ours.loc[ours["id"] == "AG0017", "value"].tolist() == [0.963]
