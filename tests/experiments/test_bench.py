"""The benchmark on a tiny model: both arms do the same work, and the record says how it was timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.bench.cases import edit_prompt
from experiments.bench.experiment import EXPERIMENT
from experiments.bench.grids import one_by_one, spread
from experiments.bench.settings import BenchSettings
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.pairs import PairRun, decode_margins, run_pair
from pkv_interp.measure.patching import grid_rows, position_rows, sweep_grid, sweep_positions
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.tasks import FAMILIES, Style, polarity_case
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

SMALL = runs.BENCH


@pytest.fixture(scope="module")
def record(bench_results: Path) -> RunRecord:
    (found,) = load_records(bench_results)
    assert records_command(["check", str(bench_results)]) == 0
    return found


@pytest.fixture(scope="module")
def pair() -> tuple[Engine, PairRun]:
    loaded = tiny("llama")
    case = polarity_case(FAMILIES[0], 0, loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    engine = Engine(loaded)
    return engine, run_pair(engine, case, ())


def lines(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return list(record.tables[name])


def test_both_arms_give_the_same_margins(pair: tuple[Engine, PairRun]) -> None:
    engine, run = pair
    cells = grid_rows(run, engine.spec.n_layers)
    for rows in (position_rows(run), [cells[i] for i in spread(len(cells), 40)]):
        packed = decode_margins(engine, run, rows)
        # Patches of random weights move little: the arms must agree far better than rows differ.
        allowed = min(1e-4, float(np.ptp(packed)) / 10)
        assert allowed > 0
        assert one_by_one(engine, run, rows) == pytest.approx(packed, abs=allowed)


def test_the_rows_are_those_of_the_experiments(pair: tuple[Engine, PairRun]) -> None:
    engine, run = pair
    n_layers, notes = engine.spec.n_layers, len(run.notes)
    assert sweep_positions(engine, run) == pytest.approx(decode_margins(engine, run, position_rows(run)))
    grid = sweep_grid(engine, run)
    assert grid.shape == (n_layers, notes)
    layer, at = n_layers - 1, notes // 2
    cell = grid_rows(run, n_layers)[layer * notes + at]
    assert one_by_one(engine, run, [cell])[0] == pytest.approx(grid[layer, at], abs=1e-4)


@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_a_sample_is_evenly_spread(n: int) -> None:
    picked = spread(50, n)
    assert len(picked) == min(n, 50)
    assert picked[0] == 0
    if n > 1:
        assert picked[-1] == 49
        assert np.ptp(np.diff(picked)) <= 1


def test_the_record_says_what_was_sampled_and_what_was_scaled(record: RunRecord) -> None:
    grids = lines(record, "grids")
    assert [(line["work"], line["repeat"]) for line in grids] == [
        ("position_grid", 0),
        ("position_grid", 1),
        ("layer_grid", 0),
    ]
    for line in grids:
        assert line["sample"] == 7
        assert line["cells"] % line["positions"] == 0
        assert line["one_by_one_seconds"] == pytest.approx(line["sample_seconds"] * line["cells"] / 7)
        assert line["speedup"] == pytest.approx(line["one_by_one_seconds"] / line["packed_seconds"])
        assert line["difference"] <= 1e-4
        assert min(line["packed_peak_mb"], line["one_by_one_peak_mb"]) >= 0.0
    assert grids[0]["cells"] == grids[0]["positions"]
    assert grids[2]["cells"] > grids[0]["cells"]


def test_memory_is_measured_at_every_size(record: RunRecord) -> None:
    assert [line["patches"] for line in lines(record, "memory_by_patches")] == [5, 50]
    assert [line["patches"] for line in lines(record, "memory")] == [5, 50]


def test_a_write_sweep_is_timed_beside_its_twins_and_its_limit(record: RunRecord) -> None:
    writes = lines(record, "writes")
    assert [line["repeat"] for line in writes] == [0, 1]
    for line in writes:
        assert line["rows"] == 3 * (4 + 1)
        assert (line["positions"], line["sample"]) == (3, 4)
        assert 0 < line["suffix"] < line["tokens"]
        assert line["speedup"] == pytest.approx(line["whole_layers_seconds"] / line["joined_seconds"])
        assert line["over_limit"] == pytest.approx(line["joined_seconds"] / line["matmul_seconds"])
        assert line["difference"] <= 1e-4
    middle = {name: np.median([x[name] for x in writes]) for name in ("speedup", "over_limit")}
    assert record.headline["write_sweep_speedup"].value == pytest.approx(middle["speedup"])
    assert record.headline["write_limit_ratio"].value == pytest.approx(middle["over_limit"])


def test_the_headline_and_the_controls(record: RunRecord) -> None:
    others = {
        name
        for name in record.headline
        if name.startswith(("peer_", "circuit", "patching", "grid", "editing"))
    }
    assert others >= {"peer_head_sweep", "peer_position_sweep", "peer_grid", "peer_attribution"}
    assert set(record.headline) - others == {
        "kv_patch_speedup",
        "head_patch_speedup",
        "limit_ratio",
        "peak_memory_mb",
        "position_grid_speedup",
        "layer_grid_speedup",
        "field_only_exponent",
        "erratum_exponent",
        "full_reprefill_exponent",
        "erratum_exponent_added",
        "field_only_speedup",
        "erratum_speedup",
        "write_sweep_speedup",
        "write_limit_ratio",
        "bf16_speedup",
        "bf16_error",
        "plan_error",
        "plan_memory_error",
        "suffix_share_ratio",
        "chunk_repair_share_ratio",
        "cacheblend_share_ratio",
    }
    named = {c.name for c in record.controls}
    assert {"suffix_recompute_equals_full_reprefill", "write_sweep_equals_twins"} <= named
    compared = {c.name for c in record.controls if c.name.startswith("packed_equals_one_by_one_")}
    assert {name.rpartition("one_by_one_")[2] for name in compared} == {
        "kv",
        "heads",
        "position_grid",
        "layer_grid",
    }


def test_every_edit_is_timed_at_every_length_beside_a_full_reprefill(record: RunRecord) -> None:
    timed = lines(record, "edit_latency")
    methods = ["field_only", "erratum", "hoist", "suffix_recompute", "full_reprefill"]
    lengths = sorted({line["tokens"] for line in timed})
    assert len(lengths) == 2
    assert 100 < lengths[0] <= 128
    assert 220 < lengths[1] <= 256
    assert [(x["tokens"], x["repeat"], x["method"]) for x in timed] == [
        (n, repeat, method) for n in lengths for repeat in range(2) for method in methods
    ]
    run = {(x["tokens"], x["method"]): x["recomputed"] for x in timed}
    for method in ("field_only", "erratum", "hoist"):
        assert run[lengths[0], method] == run[lengths[1], method] < 40
    for n in lengths:
        assert run[n, "full_reprefill"] == n
        full = [x["seconds"] for x in timed if x["tokens"] == n and x["method"] == "full_reprefill"]
        alone = [x for x in timed if x["tokens"] == n and x["method"] == "field_only"]
        assert [x["speedup"] for x in alone] == pytest.approx(
            [a / x["seconds"] for a, x in zip(full, alone, strict=True)]
        )
    assert {x["method"] for x in timed if x["prompt_surgery"]} == {"hoist"}


def test_exponents_are_fitted_to_the_lines(record: RunRecord) -> None:
    timed = lines(record, "edit_latency")
    for line in lines(record, "edit_exponents"):
        mine = [x for x in timed if x["method"] == line["method"]]
        logs = np.log([[x["tokens"], x["seconds"]] for x in mine])
        assert line["exponent"] == pytest.approx(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])
        assert line["ci_low"] <= line["exponent"] <= line["ci_high"]
    added = lines(record, "edit_added")
    assert len(added) == 4
    assert all(16 <= line["added"] < 48 + 40 for line in added)
    assert added[0]["added"] < added[1]["added"]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("edit_methods=[field_onyl]", "did you mean 'field_only'"),
        ("edit_lengths=[256]", "two lengths"),
        ("edit_added=[64,16]", "rising order"),
        ("write_positions=0", "write_positions"),
        ("write_fillers=-1", "write_fillers"),
    ],
)
def test_settings_that_make_no_sense(override: str, line: str) -> None:
    with pytest.raises(PkvError, match=line):
        compose("bench", *SMALL, override)


def test_a_prompt_cannot_be_shorter_than_its_rule() -> None:
    settings = compose("bench", *SMALL)
    assert isinstance(settings, BenchSettings)
    with pytest.raises(PkvError, match="no prompt has as few as 20 tokens; use lengths from"):
        edit_prompt(settings, tiny("llama"), 20)


def test_the_defaults_are_those_of_the_config() -> None:
    written = compose("bench").model_dump(mode="json")
    assert written == BenchSettings().model_dump(mode="json")
    assert not BenchSettings().resume


def test_a_summary_of_the_stored_times_is_the_same_record(record: RunRecord) -> None:
    assert record.path is not None
    again = EXPERIMENT.summarise_again(record.path)
    assert again.tables == record.tables
    assert again.headline == record.headline
    assert again.controls == record.controls


def test_a_benchmark_that_is_asked_for_is_run_again(tmp_path: Path) -> None:
    few = ("parts=[edits]", "edit_methods=[erratum]", "verify=none", f"results_dir={tmp_path / 'results'}")
    settings = compose("bench", *runs.last(*SMALL, *few))
    assert isinstance(settings, BenchSettings)
    record, again = EXPERIMENT.run(settings), EXPERIMENT.run(settings)
    assert again.key == record.key
    assert again.started_at > record.started_at
    for name in ("edit_latency", "edit_added"):
        assert lines(again, name) != lines(record, name)
