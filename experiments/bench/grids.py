"""Whole grids of single-position patches, packed and one by one, and memory against the number of patches."""

import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from experiments._setup import TOLERANCE
from pkv_interp.engine import Engine
from pkv_interp.interventions import Row
from pkv_interp.measure.pairs import PairRun, decode_margins, margins
from pkv_interp.measure.patching import grid_rows, position_rows
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.records import Run
from pkv_interp.reference.sequential import Sequential
from pkv_interp.stats import Estimate

if TYPE_CHECKING:
    from experiments.bench import BenchSettings

T = TypeVar("T")


def tolerance(engine: Engine) -> float:
    """Largest difference between the arms that is rounding, in logits."""
    return TOLERANCE[engine.loaded.info.dtype][1]


def spread(n_cells: int, n: int) -> Int[np.ndarray, " sample"]:
    """Indices of ``n`` cells, evenly spread from the first to the last; all where there are no more."""
    return np.unique(np.linspace(0, n_cells - 1, min(n, n_cells)).round().astype(np.int64))


def one_by_one(engine: Engine, pair: PairRun, rows: Sequence[Row]) -> Float[np.ndarray, " rows"]:
    """As ``decode_margins``, a cache edit and a forward in plain PyTorch for each row."""
    decoded = Sequential(engine.loaded).decode(
        pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids
    )
    return margins(decoded)


def grids(run: Run, settings: "BenchSettings", engine: Engine, pair: PairRun) -> None:
    """Fill ``grids`` and ``memory_by_patches``, and their headline.

    The packed arm runs every cell. The other arm takes the same time for each cell, so that it is timed on an
    evenly spread sample (``sample``) and its time scaled to all (``one_by_one_seconds``); where the sample is
    all cells, nothing is scaled.
    """
    n_layers = engine.spec.n_layers
    by_position, by_cell = position_rows(pair), grid_rows(pair, n_layers)
    positions = [
        _compare(engine, pair, "position_grid", by_position, settings.grid_sample, repeat)
        for repeat in range(settings.repeats)
    ]
    layers = [_compare(engine, pair, "layer_grid", by_cell, settings.grid_sample, 0)]
    run.tables["grids"] = positions + layers
    for lines in (positions, layers):
        run.control(
            f"packed_equals_one_by_one_{lines[0]['work']}",
            max(line["difference"] for line in lines),
            0.0,
            tolerance(engine),
            f"margins, {lines[0]['sample']} of {lines[0]['cells']} cells",
        )
    run.tables["memory_by_patches"] = [
        _memory(engine, pair, by_cell, n)
        for n in sorted({min(n, len(by_cell)) for n in settings.memory_patches})
    ]
    run.headline |= {
        "position_grid_speedup": middle(positions, "speedup"),
        "layer_grid_speedup": middle(layers, "speedup"),
    }


def middle(lines: Sequence[dict[str, Any]], name: str) -> Estimate:
    """Median of a column over repeats."""
    return Estimate(
        value=statistics.median(line[name] for line in lines), n_families=1, n_instances=len(lines)
    )


def _compare(
    engine: Engine, pair: PairRun, name: str, rows: Sequence[Row], n_sample: int, repeat: int
) -> dict[str, Any]:
    """One line: time and peak memory of both arms on one grid, and how far their margins lie apart."""
    device = pair.corrupt.logits.device
    sample = spread(len(rows), n_sample)
    (packed, fast), packed_mb = _with_peak(
        lambda: seconds(lambda: decode_margins(engine, pair, rows), device), device
    )
    (timed, slow), single_mb = _with_peak(
        lambda: seconds(lambda: one_by_one(engine, pair, [rows[i] for i in sample]), device), device
    )
    single = timed * len(rows) / len(sample)
    return {
        "work": name,
        "repeat": repeat,
        "cells": len(rows),
        "positions": len(pair.notes),
        "tokens": pair.clean.length,
        "packed_seconds": packed,
        "packed_peak_mb": packed_mb,
        "sample": len(sample),
        "sample_seconds": timed,
        "one_by_one_seconds": single,
        "one_by_one_peak_mb": single_mb,
        "speedup": single / packed,
        "difference": float(np.abs(fast[sample] - slow).max()),
    }


def _memory(engine: Engine, pair: PairRun, cells: Sequence[Row], n: int) -> dict[str, Any]:
    """One line: peak memory of the packed arm for ``n`` cells of the (layer, position) grid."""
    rows = [cells[i] for i in spread(len(cells), n)]
    device = pair.corrupt.logits.device
    return {
        "work": "layer_grid",
        "patches": len(rows),
        "tokens": pair.clean.length,
        "peak_mb": peak_megabytes(lambda: decode_margins(engine, pair, rows), device),
    }


def _with_peak(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What the work returns, and its peak memory in MiB."""
    kept: list[T] = []
    peak = peak_megabytes(lambda: kept.append(work()), device)
    return kept[0], peak
