"""Whole grids of single-position patches, packed and one by one, and memory against the number of patches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int

from experiments.bench.patches import Memory
from pkv_interp.engine import Engine
from pkv_interp.interventions import Row
from pkv_interp.measure.pairs import PairRun, decode_margins, margins
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.reference.sequential import Sequential

T = TypeVar("T")


@dataclass(frozen=True)
class GridRound:
    """One grid timed once by both routes.

    Attributes:
        packed_seconds: of every cell, packed.
        packed_peak_mb: MiB.
        sample_seconds: of the sample, one by one.
        one_by_one_peak_mb: MiB.
        difference: largest difference between the two routes' margins on the sample, in logits.
    """

    packed_seconds: float
    packed_peak_mb: float
    sample_seconds: float
    one_by_one_peak_mb: float
    difference: float


@dataclass(frozen=True)
class GridTimes:
    """One grid of single-position patches.

    Attributes:
        cells: patches of the grid, all of which the packed route runs.
        positions: of the notes.
        tokens: of the prompt.
        sample: cells, evenly spread, that are run one by one.
        rounds: one per repeat.
    """

    cells: int
    positions: int
    tokens: int
    sample: int
    rounds: list[GridRound]

    @property
    def difference(self) -> float:
        """Largest difference over all rounds, in logits."""
        return max(one.difference for one in self.rounds)


def spread(n_cells: int, n: int) -> Int[np.ndarray, " sample"]:
    """Indices of ``n`` cells, evenly spread from the first to the last; all where there are no more."""
    return np.unique(np.linspace(0, n_cells - 1, min(n, n_cells)).round().astype(np.int64))


def one_by_one(engine: Engine, pair: PairRun, rows: Sequence[Row]) -> Float[np.ndarray, " rows"]:
    """As ``decode_margins``, a cache edit and a forward in plain PyTorch for each row."""
    decoded = Sequential(engine.loaded).decode(
        pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids
    )
    return margins(decoded)


def time_grid(engine: Engine, pair: PairRun, rows: Sequence[Row], n_sample: int, repeats: int) -> GridTimes:
    """Time and peak memory of both routes on one grid, and how far their margins differ.

    The packed route runs every cell. One by one takes the same time for each cell, so it is timed on an
    evenly spread sample.

    Args:
        engine: of the model.
        pair: the case.
        rows: cells.
        n_sample: cells to run one by one.
        repeats: how often.
    """
    device = pair.corrupt.logits.device
    picked = spread(len(rows), n_sample)
    rounds = []
    for _ in range(repeats):
        (packed, fast), packed_mb = _with_peak(
            lambda: seconds(lambda: decode_margins(engine, pair, rows), device), device
        )
        (timed, slow), single_mb = _with_peak(
            lambda: seconds(lambda: one_by_one(engine, pair, [rows[i] for i in picked]), device), device
        )
        difference = float(np.abs(fast[picked] - slow).max())
        rounds.append(GridRound(packed, packed_mb, timed, single_mb, difference))
    return GridTimes(len(rows), len(pair.notes), pair.clean.length, len(picked), rounds)


def grid_memory(engine: Engine, pair: PairRun, cells: Sequence[Row], sizes: Sequence[int]) -> Memory:
    """Peak memory of the packed route for evenly spread cells of the (layer, position) grid.

    Args:
        engine: of the model.
        pair: the case.
        cells: the grid.
        sizes: numbers of cells; those over the grid's are cut to it.
    """
    device = pair.corrupt.logits.device
    numbers, peaks = [], []
    for n in sorted({min(n, len(cells)) for n in sizes}):
        rows = [cells[i] for i in spread(len(cells), n)]
        numbers.append(len(rows))
        peaks.append(peak_megabytes(lambda rows=rows: decode_margins(engine, pair, rows), device))
    return Memory(numbers, peaks, pair.clean.length)


def _with_peak(work: Callable[[], T], device: torch.device) -> tuple[T, float]:
    """What the work returns, and its peak memory in MiB."""
    kept: list[T] = []
    peak = peak_megabytes(lambda: kept.append(work()), device)
    return kept[0], peak
