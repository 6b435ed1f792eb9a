"""Controls of every experiment: self-patch, full patch, batched against single, prompt alignment."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.routing import closest_choice
from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins, margins, run_pair
from pkv_interp.reference.sequential import Sequential
from pkv_interp.tasks import Case

#: A recovery is read where the two prompts differ by this many times what rounding leaves, or more.
CLEAR = 3.0


@dataclass(frozen=True)
class ControlValues:
    """Measured control values over cases.

    Recoveries are those of the whole vocabulary's logits: how far along the way from corrupt to clean they
    were moved. Thousands of logits agree on it to a few percent where the margin of two, in half precision or
    in a model that cannot tell the prompts apart, is all rounding.

    Attributes:
        self_patch: recovery of patching prompts with themselves; 0 is expected. None where rounding hides all
            that differs between the two prompts.
        full_patch: recovery of patching everything that differs; 1 is expected.
        decode_equals_prefill: largest margin difference, in logits, of the packed decode without an
            intervention from the plain forward.
        batched_equals_single: largest margin difference, in logits, between a packed row and the same row
            alone.
        packed_equals_sequential: largest margin difference, in logits, from the slow twin in plain PyTorch.
        noise: largest margin difference, in logits, between equivalent computations.
        size: the largest logit, as an absolute value.
        tied: cases in which rounding chooses the experts. They are left out, unless no other is left.
        untied: the cases that were measured, where there is one without a tie.
    """

    self_patch: float | None
    full_patch: float | None
    decode_equals_prefill: float
    batched_equals_single: float
    packed_equals_sequential: float
    noise: float
    size: float
    tied: int = 0
    untied: int = 0


@dataclass(frozen=True)
class _Moved:
    """One case: sums over the vocabulary, in squared logits.

    Attributes:
        way: length of the way from corrupt to clean, squared.
        itself: along that way, what a self-patch moves.
        missed: along that way, what a full patch is short of.
        rounding: length of the difference between decode and prefill, squared.
    """

    way: float
    itself: float
    missed: float
    rounding: float


def measure_controls(engine: Engine, pairs: Sequence[PairRun]) -> ControlValues:
    """Measure all controls on the given cases.

    Recoveries are pooled (sum of effects over sum of ways), so that one case in which little differs cannot
    fail the run.
    """
    moved = [_moved(engine, p) for p in pairs]
    packed = [_packed_difference(engine, p) for p in pairs]
    plain = [abs(float(decode_margins(engine, p, [()])[0]) - p.corrupt_margin) for p in pairs]
    told = [m for m in moved if m.way > CLEAR**2 * m.rounding]
    way = sum(m.way for m in told)
    return ControlValues(
        self_patch=sum(abs(m.itself) for m in told) / way if told else None,
        full_patch=1.0 - sum(abs(m.missed) for m in told) / way if told else None,
        decode_equals_prefill=max(plain),
        batched_equals_single=max(packed),
        packed_equals_sequential=_sequential_difference(engine, pairs[0]),
        noise=max([*plain, *packed, 1e-7]),
        size=max(size_of(side.logits) for p in pairs for side in (p.clean, p.corrupt)),
    )


def check_cases(engine: Engine, cases: Sequence[Case], tie: float) -> ControlValues:
    """``measure_controls`` on cases, each prompt run on its own.

    A router that ties chooses experts by rounding, so that equal computations need not agree. Cases with such
    a choice are left out; where every case has one, all are measured and ``untied`` is 0.

    Args:
        engine: of the model.
        cases: a few.
        tie: logits of two experts closer than this are a tie.
    """
    clear, every = [], []
    for case in cases:
        with closest_choice(engine.loaded.model) as seen:
            pair = run_pair(engine, case, share=False)
        every.append(pair)
        if seen.gap > tie:
            clear.append(pair)
    found = measure_controls(engine, clear or every)
    return replace(found, tied=len(every) - len(clear), untied=len(clear))


def size_of(logits: Float[Tensor, "*rows vocab"]) -> float:
    """The largest finite logit, as an absolute value."""
    return float(logits[logits.isfinite()].abs().max())


def _moved(engine: Engine, pair: PairRun) -> _Moved:
    everything = pair.changed + pair.notes
    rows: list[Row] = [(), (KVPatch(everything, 1),), (KVPatch(everything, 0),)]
    plain, itself, full = engine.decode(pair.corrupt, rows, (pair.clean, pair.corrupt)).logits.double()
    clean, corrupt = pair.clean.logits.double(), pair.corrupt.logits.double()
    known = clean.isfinite() & corrupt.isfinite()
    way = (clean - corrupt)[known]

    def along(difference: Float[Tensor, " vocab"]) -> float:
        return float(difference[known] @ way)

    rounding = (plain - corrupt)[known]
    return _Moved(float(way @ way), along(itself - corrupt), along(clean - full), float(rounding @ rounding))


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
