"""The benchmark on a tiny model: both arms do the same work, and the record says how it was timed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments._bench_grids import one_by_one, spread
from experiments.bench import BenchSettings, bench
from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun, decode_margins, run_pair
from pkv_interp.measure.patching import grid_rows, position_rows, sweep_grid, sweep_positions
from pkv_interp.records import RunRecord
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.tasks import FAMILIES, Style, polarity_case
from tests.experiments.composing import compose
from tests.families import tiny

SMALL = (
    "model=tiny-llama",
    "n_fillers=1",
    "patches=4",
    "repeats=2",
    "grid_sample=7",
    "memory_patches=[5,50]",
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("bench")
    settings = compose("bench", *SMALL, f"results_dir={folder}")
    assert isinstance(settings, BenchSettings)
    found = bench(settings)
    assert records_command(["check", str(folder)]) == 0
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


def test_the_headline_and_the_controls(record: RunRecord) -> None:
    assert set(record.headline) == {
        "kv_patch_speedup",
        "head_patch_speedup",
        "limit_ratio",
        "peak_memory_mb",
        "position_grid_speedup",
        "layer_grid_speedup",
    }
    compared = {c.name for c in record.controls if c.name.startswith("packed_equals_one_by_one_")}
    assert {name.rpartition("one_by_one_")[2] for name in compared} == {
        "kv",
        "heads",
        "position_grid",
        "layer_grid",
    }
