"""The agent experiment through its real command line, and its summary on numbers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments._agent_runs import build_episodes
from experiments._agent_summary import check, summarise
from experiments._agent_turns import PHASES
from experiments.agent import LAYOUTS, AgentSettings
from experiments.figures import FIGURES
from pkv_interp.agent import ARMS, Episode
from pkv_interp.errors import PkvError
from pkv_interp.figures import NOT_COMPETENT
from pkv_interp.records import Competence, RunRecord, RunStore, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.run import ControlFailure
from pkv_interp.stats import mean
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

NAMES = [arm.name for arm in ARMS]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("agent") / "results"
    done = runs.agent(made)
    assert done.returncode == 0, done.stderr
    return made


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
        behind = lines(record, "layouts", layout=LAYOUTS[True], quantity=quantity, phase="changed")
        whole = lines(record, "phases", quantity=quantity, phase="changed")
        assert [line["value"] for line in behind] == [line["value"] for line in whole]
        assert len(lines(record, "layouts", layout=LAYOUTS[False], quantity=quantity)) == 2 * len(ARMS)


@pytest.mark.parametrize("name", FIGURES["agent"])
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES["agent"][name](record)
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


def chunk(one: Episode, **broken: float) -> dict[str, Any]:
    """An episode of a made-up model that decides by what its arm tells it, and by nothing else."""
    changed = [turn.value != one.turns[0].value for turn in one.turns]
    right = {name: [True] * len(changed) for name in NAMES}
    for name in ("field_only", "compose_only", "stale"):
        right[name] = [not late for late in changed]
    right["erratum_only"] = [not late or one.family.name != "documents" for late in changed]
    cost = {"full": 12.0, "prefix_cache": 6.0, "unified": 2.0}
    return {
        "arms": {
            name: {
                "right": right[name],
                "margin": [1.0 if r else -1.0 for r in right[name]],
                "greedy_right": right[name],
                "matched_margin": [1.0 if r else -1.0 for r in right[name]],
                "tokens": [int(10 * cost.get(name, 3.0))] * len(changed),
                "length": [120] * len(changed),
                "ms": [cost.get(name, 3.0)] * len(changed),
            }
            for name in NAMES
        },
        "setup_ms": 5.0,
        "policy_tokens": 60,
        **dict.fromkeys(("stale_equals_full", "prefix_cache_equals_full", "splice_in_place"), 0.0),
        **dict.fromkeys(("stale_refused", "current_accepted"), 1.0),
        **broken,
    }


def summed(settings: AgentSettings, folder: Path, **broken: float) -> RunRecord:
    episodes = build_episodes(settings, tiny("llama").tokenizer)
    config = settings.model_dump(mode="json")
    with RunStore(folder).open(experiment="agent", model=config.pop("model"), config=config, seed=0) as run:
        run.set_model(
            {"revision": None, "weight_sha256": "0" * 64, "dtype": "float32", "random_weights": False}
        )
        chunks = [chunk(one, **broken) for one in episodes]
        check(run, chunks, "float32")
        right = mean([1.0, 1.0], ["documents", "alerts"])
        run.competence = Competence(accuracy=right, threshold=0.8, passed=True)
        summarise(run, settings, episodes, chunks)
    return run.record


def test_the_headline_has_its_known_answers(settings: AgentSettings, tmp_path: Path) -> None:
    record = summed(settings, tmp_path)
    values = {name: estimate.value for name, estimate in record.headline.items()}
    for arm in ("full", "unified", "prefix_cache", "field_erratum"):
        assert values[f"success_{arm}"] == values[f"success_changed_{arm}"] == 1.0
    assert values["success_changed_stale"] == values["success_changed_field_only"] == 0.0
    assert 0.3 < values["success_stale"] < 0.7
    assert values["success_changed_erratum_only"] == pytest.approx(7 / 8, abs=0.05)
    assert values["agreement_stale"] == values["success_stale"]
    assert values["ttft_speedup_unified"] == pytest.approx(6.0)
    assert values["ttft_speedup_prefix_cache"] == pytest.approx(2.0)
    assert record.headline["success_unified"].n_families == 8
    (pair,) = lines(record, "pairs", first="full", second="unified")
    assert pair["value"] == 0.0
    (design,) = lines(record, "design")
    assert design["right_action_first_in_menu"] == 0.5
    assert 0.4 <= design["value_is_trigger"] <= 0.6


@pytest.mark.parametrize(
    ("name", "value"), [("stale_equals_full", 1e-3), ("splice_in_place", 1e-3), ("stale_refused", 0.9)]
)
def test_a_failed_control_ends_the_run(
    name: str, value: float, settings: AgentSettings, tmp_path: Path
) -> None:
    with pytest.raises(ControlFailure, match=name):
        summed(settings, tmp_path, **{name: value})


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="agent")
    assert frame["id"].is_unique
    assert set(frame["headline"]) == {
        "success_unified", "success_full", "agreement_unified", "ttft_speedup_unified",
        "success_erratum_only", "success_stale",
    }  # fmt: skip
    ours = published("agreement_unified", experiment="agent")
    assert ours.loc[ours["id"] == "AG0017", "value"].tolist() == [0.963]
