"""The agent experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.agent.cases import Cases, build_cases
from experiments.agent.experiment import EXPERIMENT
from experiments.agent.figures import FIGURES
from experiments.agent.settings import AgentSettings
from experiments.agent.tables import LAYOUTS, Design
from experiments.agent.turns import PHASES
from pkv_interp.agent import ARMS
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.run import ControlFailure, raise_for_controls
from tests import runs
from tests.experiments.agent_examples import NAMES, small_settings, summed
from tests.experiments.configs import compose
from tests.families import tiny


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
    costs = {name for name in record.headline if name.startswith(("ttft_", "tokens_"))}
    assert {f"ttft_speedup_{name}" for name in NAMES[1:]} | {"tokens_prefix_cache_over_unified"} <= costs
    assert set(record.headline) == {"competence"} | costs


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
    elif name == "phases":
        want = tuple(line["value"] for line in lines(record, "phases", quantity="success", phase="all"))
    else:
        wanted = {"layout": LAYOUTS[False], "phase": "changed", "first": "unified", "second": "prefix_cache"}
        (line,) = lines(record, "pairs", **wanted)
        want, shown = (line["value"],), {tuple(trace.y) for trace in figure.data}
        assert [line["seconds_ratio"]] in [list(trace.x) for trace in figure.data]
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
    return small_settings()


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
