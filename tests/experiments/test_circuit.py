"""The circuit experiment through its real command line, on a tiny model with random weights."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments import find
from experiments.circuit.cases import candidates
from experiments.circuit.experiment import EXPERIMENT
from experiments.circuit.settings import CircuitSettings
from experiments.summarise.__main__ import main as summarise_command
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from tests import runs
from tests.experiments.configs import compose
from tests.records.children import killed_when
from tests.refused import refused


def only(results: Path, status: str = "success") -> RunRecord:
    (record,) = load_records(results, status=[status], latest=False)
    return record


def test_the_record_is_valid(circuit_results: Path) -> None:
    assert records_command(["check", str(circuit_results)]) == 0
    record = only(circuit_results)
    assert record.model_name == "tiny-llama"
    assert {row.family for row in record.rows if row.split == "discovery"} == {"orders", "support"}
    assert {row.family for row in record.rows if row.arm == "aggregators_joint"} == {"documents", "alerts"}
    assert not (circuit_results / ".partial").exists()


def test_controls_have_passed(circuit_results: Path) -> None:
    controls = {control.name: control for control in only(circuit_results).controls}
    assert {
        "self_patch",
        "full_patch",
        "batched_equals_single",
        "direct_logits_sum",
        "write_parts_sum",
    } <= set(controls)
    assert all(control.passed for control in controls.values())
    assert abs(controls["full_patch"].value - 1.0) < 1e-3


def test_random_weights_fail_the_gate_and_claim_nothing(circuit_results: Path) -> None:
    record = only(circuit_results)
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}


def test_tables_follow_from_the_settings(circuit_results: Path) -> None:
    record = only(circuit_results)
    tables: dict[str, list[dict[str, Any]]] = record.tables
    assert [line["k"] for line in tables["read_curve"] if line["arm"] == "top"] == record.config["top_k"]
    heads = {(line["layer"], line["head"]) for line in tables["read_heads"]}
    assert sorted(line["rank"] for line in tables["read_heads"]) == list(range(1, len(heads) + 1))
    assert {(line["layer"], line["head"]) for line in tables["write_heads"]} == heads
    over_right = {line["headline"] for line in tables["right_pairs"]}
    assert {"notes_only", "read_heads_top12", "attention_share", "circuit_jaccard"} <= over_right
    everything = max(line["k"] for line in tables["read_curve"])
    assert everything >= len(heads)  # all heads patched is a full patch, and no head is left for its control
    full = {line["arm"]: line["value"] for line in tables["read_curve"] if line["k"] == everything}
    assert full == {"top": pytest.approx(1.0, abs=1e-3)}
    assert any(line["arm"] == "random" for line in tables["read_curve"])
    for ablation in ("interchange", "mean"):
        curve = [line["value"] for line in tables["faithfulness"] if line["ablation"] == ablation]
        assert (curve[0], curve[-1]) == pytest.approx((0.0, 1.0))
    for line in tables["attention_share"]:
        assert line["value"] + line["mlp"] == pytest.approx(1.0, abs=1e-3)
    kinds = {line["kind"] for line in tables["tokens"]}
    assert {"field", "rule", "trigger", "action", "decision"} <= kinds


def test_a_second_run_is_skipped(circuit_results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = only(circuit_results)
    assert record.path is not None
    before = record.path.read_bytes()
    runs.small("circuit", circuit_results)
    assert record.path.read_bytes() == before
    assert only(circuit_results).key == record.key
    told = capfd.readouterr().err
    assert "sites" not in told
    assert "finished before" in told


def test_another_summary_measures_nothing(
    circuit_results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    shutil.copytree(circuit_results, results)
    before = only(results)
    runs.small("circuit", results, "bootstrap_draws=300", "competence_threshold=0.0")
    after = only(results)
    assert "sites" not in capfd.readouterr().err
    assert (after.key, after.measurements) == (before.key, before.measurements)
    assert after.keys != before.keys
    assert after.rows == before.rows
    assert after.seconds == before.seconds


def test_summarised_again_it_is_the_same_record(circuit_results: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(circuit_results, results)
    before = only(results)
    assert summarise_command([str(results)]) == 0
    assert only(results).model_dump() == before.model_dump()


def test_a_notebook_runs_it_in_a_line(circuit_results: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {}
    for argument in runs.SMALL:
        name, _, text = argument.partition("=")
        changes[name] = yaml.safe_load(text)
    record = find("circuit").run(results_dir=tmp_path, **changes)
    whole = only(circuit_results)
    assert record.key == whole.key
    assert record.rows == whole.rows


def test_killed_midway_and_repeated_gives_the_same_results(
    circuit_results: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = killed_when(
        lambda: runs.small("circuit", tmp_path), lambda: len(list(tmp_path.glob(".partial/*/*.zip"))) >= 3
    )
    assert begun == signal.SIGKILL
    started = only(tmp_path, "started")
    assert started.rows == []

    runs.small("circuit", tmp_path)
    repeated, whole = only(tmp_path), only(circuit_results)
    assert repeated.key == started.key
    assert capfd.readouterr().out.count("was measured earlier") >= 3
    assert repeated.rows == whole.rows
    assert repeated.tables == whole.tables
    assert repeated.headline == whole.headline
    assert repeated.controls == whole.controls
    assert not (tmp_path / ".partial").exists()


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("model=tiny-lama", "unknown model 'tiny-lama'"),
        ("n_filers=1", "n_filers"),
        ("discovery=[orders,documents]", "'documents' is of the other split"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    argument: str, cause: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [a for a in runs.SMALL if a.split("=")[0] != argument.split("=")[0]]
    assert cause in refused(capfd, "circuit", *given, argument, f"results_dir={tmp_path}")
    assert not list(tmp_path.iterdir())


def key_of(*overrides: str) -> str:
    settings = compose("circuit", *runs.SMALL, *overrides)
    assert isinstance(settings, CircuitSettings)
    return EXPERIMENT.keys(settings).measurement


@pytest.mark.parametrize(
    "change", ["seed=1", "n_fillers=3", "top_k=[1,2]", "model=tiny-qwen3", "model.seed=1"]
)
def test_settings_change_the_key(change: str) -> None:
    assert key_of(change) != key_of()


@pytest.mark.parametrize(
    "change", ["results_dir=elsewhere", "memory_budget_mb=64", "resume=false", "bootstrap_draws=300"]
)
def test_places_budgets_and_draws_do_not_change_the_measurement_key(change: str) -> None:
    assert key_of(change) == key_of()


def test_field_pairs_flip_the_field_and_leave_the_rule() -> None:
    tokenizer = tiny_tokenizer("llama")
    settings = CircuitSettings(flip="field", layout="python_script", instances=1, n_fillers=1)
    for split in candidates(settings, tokenizer):
        for case in split:
            assert case.changed == "field"
            assert {
                at for at, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b
            } <= set(range(*case.change))
