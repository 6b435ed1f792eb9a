"""Whether a prefill in bfloat16 can be trusted on a run's own cases, and whether it is faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins, rerun_margins, run_pair
from pkv_interp.measure.timing import seconds
from pkv_interp.tasks import Case
from pkv_interp.tolerances import NARROW_PREFILL_SHARE

NARROW = torch.bfloat16


@dataclass(frozen=True)
class HalfCheck:
    """Cases prefilled in bfloat16 and in the model's own dtype; the decision is always in the model's own.

    Attributes:
        error: largest difference of a margin between the two, in logits: clean, corrupt, the corrupt prompt
            with the notes' columns of the clean one, and the corrupt one run again from its first note on,
            which goes through the model's own dtype over narrow columns.
        share: that error as a share of the gap between clean and corrupt margins, the largest over cases.
        speedup: time of a pair's prefills in the model's own dtype over that in bfloat16, the median.
        cases: how many.
    """

    error: float
    share: float
    speedup: float
    cases: int

    @property
    def trusted(self) -> bool:
        """Whether no margin moved by more than the allowed share of its gap."""
        return self.share <= NARROW_PREFILL_SHARE

    def chosen(self, asked: str) -> bool:
        """Whether bfloat16 is taken: trusted, and asked for by name or faster."""
        return self.trusted and (asked == "bfloat16" or self.speedup > 1.0)

    def told(self, asked: str) -> str:
        """What the record says of it."""
        moved = f"margins of {self.cases} cases move by at most {self.error:.2g} logits, {self.share:.1%} of"
        fast = f"prefills take 1/{self.speedup:.2f} of the time"
        measured = f"{moved} a gap ({NARROW_PREFILL_SHARE:.0%} allowed), and {fast}"
        where = "bfloat16 before the decision, float32 from there on"
        if not self.chosen(asked):
            why = "bfloat16 is no faster" if self.trusted else "margins move too far"
            where = f"float32 throughout, as {why}"
        return f"prefill_dtype={asked}: {where}: in bfloat16 {measured}"


def check_half(engine: Engine, cases: Sequence[Case]) -> HalfCheck:
    """Run cases both ways; the engine prefills in the model's own dtype afterwards.

    Raises:
        PkvError: the model's own dtype is no wider than bfloat16.
    """
    errors, shares, ratios = [], [], []
    try:
        for case in cases:
            both = []
            for dtype in (None, NARROW):
                engine.prefill_in(dtype)
                if not ratios:
                    run_pair(engine, case, ())  # first uses allocate, and choose kernels
                device = engine.loaded.device
                took, pair = seconds(lambda case=case: run_pair(engine, case, ()), device)
                # Once more with what a suffix run again needs: captures take time of their own.
                again = run_pair(engine, case, {"prefill"})
                both.append((took, _margins(engine, again), pair.gap))
            (slow, wide, gap), (fast, narrow, _) = both
            error = float(np.abs(wide - narrow).max())
            errors.append(error)
            shares.append(error / max(abs(gap), 1e-9))
            ratios.append(slow / max(fast, 1e-9))
    finally:
        engine.prefill_in(None)
    return HalfCheck(max(errors), max(shares), float(np.median(ratios)), len(cases))


def _margins(engine: Engine, pair: PairRun) -> np.ndarray:
    rows: list[Row] = [(), (KVPatch(pair.notes, 0),)]
    # The corrupt prompt's own output put back: nothing changes but what is run again.
    unchanged: list[Row] = [(HeadPatch(0, 0, 1, position=pair.notes[0]),)]
    decided, again = decode_margins(engine, pair, rows), rerun_margins(engine, pair, unchanged)
    return np.array([pair.clean_margin, pair.corrupt_margin, *decided, *again])
