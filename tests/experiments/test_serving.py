"""The serving experiment through its real command line against llama.cpp's server, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.serving.cases import build_scenes, prompt_of, spliced, written
from experiments.serving.experiment import EXPERIMENT
from experiments.serving.latency import lengths_within
from experiments.serving.settings import PLAIN, SPLICE
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import SceneSource, open_context
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.serving.processes import LlamaServer
from tests import runs
from tests.experiments.serving_examples import settings
from tests.families import tiny


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    results = small_results("serving")
    assert records_command(["check", str(results)]) == 0
    (found,) = load_records(results)
    return found


def lines(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return record.tables[name]  # type: ignore[return-value]


def test_every_arm_is_served_by_a_real_engine(record: RunRecord) -> None:
    controls = {control.name: control.value for control in record.controls}
    assert controls["server_says_what_model_says"] < 1e-4
    assert controls["same_under_load"] < 1e-4
    assert controls["hits_equal_counters"] == 0.0
    arms = {line["arm"]: line for line in lines(record, "arms")}
    assert list(arms) == [*PLAIN, "field_only", "recompute@4", SPLICE]
    assert all(line["hit_requests"] == line["hit_counters"] for line in arms.values())
    # What is before the field is kept in a full re-prefill, all but the last token where nothing has changed.
    assert arms["full"]["hit_requests"] < arms["field_last"]["hit_requests"]
    assert arms["field_last"]["hit_requests"] < arms["erratum"]["hit_requests"]
    assert arms["stale"]["computed_tokens"] == 1.0
    assert len({arms[arm]["computed_tokens"] for arm in ("field_only", "recompute@4", SPLICE)}) == 1


def test_loads_have_at_least_three_runs_and_those_above_capacity_are_marked(record: RunRecord) -> None:
    loads = lines(record, "load")
    assert {line["runs"] for line in loads} == {3}
    assert {(line["load"], line["above_capacity"]) for line in loads} == {(0.5, False), (1.5, True)}
    assert all(0 < line["p50"] <= line["p90"] <= line["p99"] for line in loads)


def test_faults_happened_and_nothing_wrong_was_served(record: RunRecord) -> None:
    faults = {line["fault"]: line for line in lines(record, "faults")}
    assert set(faults) == {"client_leaves", "server_killed", "eviction", "caches_removed"}
    assert all(line["wrong"] == 0 and line["asked"] == line["answered"] for line in faults.values())
    assert faults["server_killed"]["failed_tries"] > 0
    assert "missing" in faults["caches_removed"]["reasons"]


def test_updates_are_told_by_length_and_method(record: RunRecord) -> None:
    updates = lines(record, "updates")
    assert {line["length"] for line in updates} == {200, 300}
    by_method = {line["method"]: line for line in updates if line["length"] == 300}
    assert set(by_method) == {"full", "erratum", "field_last", "field_only", "recompute@4", SPLICE}
    assert by_method["erratum"]["computed"] < by_method["full"]["computed"]
    assert by_method["field_only"]["edit_ms"] > by_method["erratum"]["edit_ms"] == 0.0
    assert lengths_within([256, 1024, 8000], 1280) == [256, 1024]


def test_an_engine_that_is_not_here_is_refused_before_a_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    for engine in ("llama", "vllm"):
        monkeypatch.setenv(f"PKV_{engine.upper()}", str(tmp_path))
        with pytest.raises(
            PkvError, match=f"the environment of {engine} is not there; make serving-{engine}"
        ):
            EXPERIMENT.run(model="tiny-llama", engine=engine, results_dir=tmp_path / "results")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model": "tiny-gemma2"}, "slot files of gemma2 are not written here; use engine=vllm"),
        ({"model": "tiny-llama", "lengths": [20]}, "no prompt has as few as 20 tokens; use lengths from"),
    ],
)
def test_what_cannot_be_served_is_refused_before_a_server_starts(
    changes: dict[str, Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ready").touch()
    monkeypatch.setenv("PKV_LLAMA", str(tmp_path))
    monkeypatch.setattr(LlamaServer, "start", lambda _: pytest.fail("a server was started"))
    with pytest.raises(PkvError, match=told):
        EXPERIMENT.run(
            injected=["field_only"],
            families=["documents", "alerts"],
            fault_scenes=4,
            clients=2,
            results_dir=tmp_path / "results",
            **changes,
        )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("loads=[1.2]",), "the first load must lie under capacity"),
        (("loads=[0.8,0.5]",), "in rising order"),
        (("runs=2",), "greater than or equal to 3"),
        (("fault_scenes=5",), "fault_scenes=5, with 4 prompts"),
        (("clients=3",), "clients=3, with 4 prompts: capacity would be one burst"),
        (("clients=16", "families=null", "instances=3"), "clients=16, with 24 prompts"),
        (("injected=[erratum]",), "leaves no edited cache to inject"),
        (("caches=somewhere",), "the folder that a vLLM at url= reads"),
        (("url=ftp://here",), "url"),
        (("url=http://host:port",), "no url of a server: Invalid port: 'port'"),
        (("url=http://:8000",), "it needs a host"),
        (("layout=python_script",), "in words"),
        (("precision=bfloat16",), "float32 and float16"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes: tuple[str, ...], told: str) -> None:
    with pytest.raises(PkvError, match=told):
        settings(*changes)


def test_clients_are_at_most_half_of_the_prompts() -> None:
    assert settings("clients=2").clients == 2
    assert settings("clients=32", "families=null", "instances=8").clients == 32


def test_a_server_of_somebody_else_is_asked_with_plain_requests_unless_it_shares_a_folder() -> None:
    there = settings("engine=vllm", "url=http://gpu:8000")
    assert there.arms == PLAIN
    assert there.remarks()
    shared = settings("engine=vllm", "url=http://gpu:8000", "caches=results")
    assert shared.arms == settings().arms
    assert shared.remarks() == ()


def test_no_changed_prompt_is_the_old_one_of_another_scene_and_texts_are_what_states_have() -> None:
    loaded, chosen = tiny("llama"), settings()
    source = SceneSource.of(chosen, loaded.tokenizer)
    scenes = build_scenes(source, 2, 1)
    assert [one.number for one in scenes] == list(range(4))
    assert {one.early.task.matches for one in scenes} == {True, False}
    asked, read = list[tuple[int, ...]](), list[tuple[int, ...]]()
    for one in scenes:
        task = one.early.task
        assert (one.late.task.old, one.late.task.new) == (task.old, task.new)
        for scene in (one.early, one.late):
            context = open_context(loaded, scene)
            read.append(written(context, scene, task.old))
            asked.append(written(context, scene, task.new))
            assert read[-1] == prompt_of(context.prefill()).ids
            assert asked[-1] == prompt_of(context.edit(task.field, task.new, "full_reprefill")).ids
    assert len({*asked, *read}) == 16


def test_a_splice_moves_what_stands_behind_the_session_and_leaves_the_rest() -> None:
    loaded, chosen = tiny("llama"), settings()
    scene = build_scenes(SceneSource.of(chosen, loaded.tokenizer), 1, 1)[0]
    state = open_context(loaded, scene.early).prefill()
    made = spliced(loaded, state)
    assert made.ids == state.ids
    apart = [
        float((a - b).abs().max())
        for a, b in zip(made.cache.keys[-1][0, 0], state.cache.keys[-1][0, 0], strict=True)
    ]
    field = state.spans[scene.early.task.field][1]
    assert max(apart[:field]) < 1e-5
    assert max(apart[field + 10 :]) > 1e-2


def test_published_figures_have_our_names(record: RunRecord) -> None:
    ours = {
        "hit_erratum",
        "hit_field_last",
        "capacity_ratio_erratum",
        "capacity_ratio_field_last",
        "ttft_p90_ratio",
        "inject_ttft_ratio",
        "logprob_error",
    }
    assert ours <= set(record.headline)
    frame = published(experiment="serving")
    assert set(frame["headline"]) == {"hit_erratum", "capacity_ratio_erratum", "ttft_p90_ratio"}
    assert all(frame["note"])


def test_the_small_run_names_the_held_out_split_alone() -> None:
    assert "families=[documents,alerts]" in runs.SERVING
    assert len(settings("families=null").served) == 8
