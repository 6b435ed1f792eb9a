"""Every head and MLP patched during prefill, beside slow twins and the multiply-adds that it needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.bench.grids import spread
from experiments.bench.settings import BenchSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun, margins, rerun_margins, run_pair
from pkv_interp.measure.timing import matmul_seconds, seconds
from pkv_interp.measure.write_limit import needed_multiply_adds
from pkv_interp.measure.writers import write_rows
from pkv_interp.reference.sequential import Sequential
from pkv_interp.reference.whole_layers import WholeLayers
from pkv_interp.tasks import FAMILIES, Style, polarity_case

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class WriteRound:
    """The same sweep timed once by every route.

    Attributes:
        joined: seconds of the engine's own, whose rows come in at the layers that they edit.
        whole_layers: seconds of the twin whose rows all run from a forward's first layer.
        sample_seconds: of the sample, each row alone and its whole prompt run.
        matmul: seconds of a plain matrix product of the multiply-adds that must be done.
        difference: largest difference of margins from either twin, in logits.
    """

    joined: float
    whole_layers: float
    sample_seconds: float
    matmul: float
    difference: float


@dataclass(frozen=True)
class WriteTimes:
    """One write sweep.

    Attributes:
        rows: patches of the sweep.
        positions: that each patch covers.
        suffix: tokens from the first of them on, the decision token included.
        tokens: of the prompt.
        sample: rows, evenly spread, that are also run one by one.
        multiply_adds: that no route can leave out.
        rounds: one per repeat.
    """

    rows: int
    positions: int
    suffix: int
    tokens: int
    sample: int
    multiply_adds: int
    rounds: list[WriteRound]

    @property
    def difference(self) -> float:
        """Largest difference over all rounds, in logits."""
        return max(one.difference for one in self.rounds)


def measure_writes(session: "Session[BenchSettings]") -> WriteTimes:
    """Time the sweep on a prompt of the length of the circuit experiment's, and check its numbers."""
    settings, engine = session.settings, session.engine
    style = Style(n_fillers=settings.write_fillers, thinking=settings.model.thinking)
    case = polarity_case(FAMILIES[0], 0, session.tokenizer, seed=settings.seed, style=style)

    def work() -> WriteTimes:
        pair = run_pair(engine, case, {"prefill"})
        positions = [pair.notes[i] for i in spread(len(pair.notes), settings.write_positions)]
        twin = WholeLayers(session.loaded, settings.memory_budget_mb)
        return time_writes((engine, twin), pair, positions, settings.write_sample, settings.write_repeats)

    found = session.once("write sweep", work, WriteTimes)
    detail = f"margins, {found.rows} patches with whole layers and {found.sample} of them one by one"
    session.control("write_sweep_equals_twins", found.difference, 0.0, session.tolerance.logits, detail)
    return found


def time_writes(
    engines: tuple[Engine, Engine], pair: PairRun, positions: Sequence[int], n_sample: int, repeats: int
) -> WriteTimes:
    """Time every route in turn, and measure how far their margins differ.

    Args:
        engines: the one that is measured, and its twin.
        pair: the case, run with ``capture={"prefill"}``.
        positions: where every patch is put.
        n_sample: rows to run one by one.
        repeats: how often.
    """
    engine, twin = engines
    device = pair.corrupt.logits.device
    rows = write_rows(engine.spec, positions)
    picked = spread(len(rows), n_sample)
    slowest, donors, ids = Sequential(engine.loaded), (pair.clean, pair.corrupt), pair.case.action_ids
    needed = needed_multiply_adds(engine.loaded, pair.clean.length, rows)
    for one in engines:  # first use parses and compiles the trace
        rerun_margins(one, pair, rows[:2])
    rounds = []
    for _ in range(repeats):
        joined, fast = seconds(lambda: rerun_margins(engine, pair, rows), device)
        whole, slow = seconds(lambda: rerun_margins(twin, pair, rows), device)
        matmul = matmul_seconds(needed, engine.spec.d_model, pair.corrupt.z)
        sample, alone = seconds(
            lambda: slowest.rerun(pair.corrupt, [rows[i] for i in picked], donors, ids), device
        )
        difference = max(np.abs(fast - slow).max(), np.abs(fast[picked] - margins(alone)).max())
        rounds.append(WriteRound(joined, whole, sample, matmul, float(difference)))
    suffix = pair.clean.length - min(positions)
    return WriteTimes(len(rows), len(positions), suffix, pair.clean.length, len(picked), needed, rounds)
