"""Random patches of one case, packed and one by one, and what packing them costs in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.pairs import PairRun
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.models.spec import ModelSpec
from pkv_interp.reference.sequential import Sequential

#: Positions that one random KV patch covers.
RUN = 8


@dataclass(frozen=True)
class PatchRound:
    """The same patches timed once by every route.

    Attributes:
        packed, one_by_one: seconds.
        plain_forward: seconds of one forward of as many tokens over the same prefix.
        difference: largest difference between the two routes, in logits.
    """

    packed: float
    one_by_one: float
    plain_forward: float
    difference: float


@dataclass(frozen=True)
class PatchTimes:
    """One kind of patch.

    Attributes:
        patches: how many.
        tokens: of the prompt.
        rounds: one per repeat.
    """

    patches: int
    tokens: int
    rounds: list[PatchRound]

    @property
    def difference(self) -> float:
        """Largest difference over all rounds, in logits."""
        return max(one.difference for one in self.rounds)


@dataclass(frozen=True)
class Memory:
    """Peak memory by the number of patches that are decoded together.

    Attributes:
        patches: numbers of patches.
        peak_mb: at each, in MiB over the model and the prefills.
        tokens: of the prompt.
    """

    patches: list[int]
    peak_mb: list[float]
    tokens: int


def kv_rows(pair: PairRun, n: int, n_layers: int, rng: np.random.Generator) -> list[Row]:
    """Random KV patches: a band of layers, a run of positions, keys, values or both.

    Args:
        pair: the case that they patch.
        n: how many.
        n_layers: of the model.
        rng: draws them.
    """
    rows: list[Row] = []
    for _ in range(n):
        first, last = sorted(int(i) for i in rng.integers(n_layers, size=2))
        start = int(rng.integers(pair.clean.length - RUN - 1))
        part = ("K", "V", "KV")[int(rng.integers(3))]
        rows.append((KVPatch(tuple(range(start, start + RUN)), 0, tuple(range(first, last + 1)), part),))
    return rows


def head_rows(n: int, spec: ModelSpec, rng: np.random.Generator) -> list[Row]:
    """Random single-head patches at the decision token."""
    return [
        (HeadPatch(int(rng.integers(spec.n_layers)), int(rng.integers(spec.n_heads)), 0),) for _ in range(n)
    ]


def time_patches(engine: Engine, pair: PairRun, rows: Sequence[Row], repeats: int) -> PatchTimes:
    """Time both routes and the plain forward in turn, and measure how far the two routes differ.

    Args:
        engine: of the model.
        pair: the case.
        rows: patches.
        repeats: how often.
    """
    device = pair.corrupt.logits.device
    twin = Sequential(engine.loaded)
    ids = pair.case.action_ids
    engine.decode(pair.corrupt, rows, (pair.clean,), ids)  # first use parses and compiles the trace
    rounds = []
    for _ in range(repeats):
        packed, fast = seconds(lambda: engine.decode(pair.corrupt, rows, (pair.clean,), ids), device)
        single, slow = seconds(lambda: twin.decode(pair.corrupt, rows, (pair.clean,), ids), device)
        limit, _ = seconds(lambda: plain_forward(engine, pair, len(rows)), device)
        difference = float((fast.logits - slow.logits).abs().max())
        rounds.append(PatchRound(packed, single, limit, difference))
    return PatchTimes(len(rows), pair.clean.length, rounds)


def plain_forward(engine: Engine, pair: PairRun, n: int) -> None:
    """One plain forward of n tokens over the same prefix: what packing cannot beat."""
    ids = torch.tensor([[pair.corrupt.ids[-1]] * n], device=pair.corrupt.logits.device)
    with torch.no_grad():
        engine.loaded.model(
            input_ids=ids, past_key_values=pair.corrupt.cache.view(), use_cache=True, logits_to_keep=n
        )


def patch_memory(engine: Engine, pair: PairRun, sets: Sequence[Sequence[Row]]) -> Memory:
    """Peak memory of the packed route for sets of patches of several sizes."""
    device, ids = pair.corrupt.logits.device, pair.case.action_ids
    peaks = [
        peak_megabytes(lambda rows=rows: engine.decode(pair.corrupt, rows, (pair.clean,), ids), device)
        for rows in sets
    ]
    return Memory([len(rows) for rows in sets], peaks, pair.clean.length)
