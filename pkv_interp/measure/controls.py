"""Controls of every experiment: self-patch, full patch, batched against single, prompt alignment."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.pairs import PairRun, cache_states, decode_margins, margins
from pkv_interp.reference.sequential import Sequential


@dataclass(frozen=True)
class ControlValues:
    """Measured control values over cases, as shares of each case's gap (recovery units) or logits.

    Attributes:
        self_patch: largest absolute recovery of patching a prompt with itself; 0 is expected.
        full_patch: recovery of patching everything that differs, the one farthest from 1.
        batched_equals_single: largest margin difference, in logits, between a packed row and the same row
            alone.
        packed_equals_sequential: largest margin difference, in logits, from the slow twin in plain PyTorch.
        noise: largest margin difference, in logits, between the packed decode and the plain forward.
    """

    self_patch: float
    full_patch: float
    batched_equals_single: float
    packed_equals_sequential: float
    noise: float


def measure_controls(engine: Engine, pairs: Sequence[PairRun]) -> ControlValues:
    """Measure all controls on the given cases.

    Recoveries are pooled (sum of effects over sum of gaps), so that one case with a tiny gap cannot fail the
    run.
    """
    gap = np.array([p.gap for p in pairs])
    corrupt = np.array([p.corrupt_margin for p in pairs])
    states = [cache_states(engine, p) for p in pairs]
    scale = np.abs(gap).sum()
    self_effect = np.array([s["self_patch"] for s in states]) - corrupt
    full_error = np.array([s["full_patch"] for s in states]) - corrupt - gap
    packed = [_packed_difference(engine, p) for p in pairs]
    plain = [abs(float(decode_margins(engine, p, [()])[0]) - p.corrupt_margin) for p in pairs]
    return ControlValues(
        self_patch=float(np.abs(self_effect).sum() / scale),
        full_patch=1.0 - float(np.abs(full_error).sum() / scale),
        batched_equals_single=float(max(packed)),
        packed_equals_sequential=_sequential_difference(engine, pairs[0]),
        noise=float(max([*plain, *packed, 1e-7])),
    )


def _rows(engine: Engine, pair: PairRun) -> list[Row]:
    return [
        (),
        (KVPatch(pair.notes, 0),),
        (KVPatch(pair.notes[-1:], 0, part="V"),),
        (HeadPatch(engine.spec.n_layers - 1, 0, 0), KVPatch(pair.changed, 0)),
    ]


def _sequential_difference(engine: Engine, pair: PairRun) -> float:
    rows = _rows(engine, pair)
    slow = Sequential(engine.loaded).decode(
        pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids
    )
    return float(np.abs(decode_margins(engine, pair, rows) - margins(slow)).max())


def _packed_difference(engine: Engine, pair: PairRun) -> float:
    rows = _rows(engine, pair)
    together = decode_margins(engine, pair, rows)
    alone = np.array([decode_margins(engine, pair, [row])[0] for row in rows])
    return float(np.abs(together - alone).max())
