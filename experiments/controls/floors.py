"""Noise floors of the controls experiment."""

from collections.abc import Sequence

import numpy as np

from experiments.controls.ranking import PairSites, RankedQuad
from pkv_interp.run.stage import stacked


def noise_floors(ranked: Sequence[RankedQuad], least: float) -> dict[str, float]:
    """Noise floors in recovery, measured on discovery families.

    A self-patch moves the margin by the largest difference between equivalent computations. A same-conclusion
    donor (another record, the same conclusion from the same values) moves it by what prompts differ in
    besides the conclusion: the mean absolute shift over the mean gap, for its KV at the changed span, at the
    notes, and at both.

    Args:
        ranked: discovery quads.
        least: noise floor of margins, in logits.
    """
    trigger, smaller = _same_conclusion("trigger", [one.polarity for one in ranked], least)
    field, other = _same_conclusion("field", [one.field for one in ranked], least)
    return {**trigger, **field, "self_patch": least / min(smaller, other)}


def _same_conclusion(
    changed: str, pairs: Sequence[PairSites], least: float
) -> tuple[dict[str, float], float]:
    """Floors by where a donor was patched, and the mean gap that they are over, in logits."""
    corrupt = stacked(pairs, lambda pair: pair.corrupt)
    gap = stacked(pairs, lambda pair: pair.clean) - corrupt
    scale = max(abs(float(gap.mean())), least)
    floors = {}
    for where, label in (("field", changed), ("notes", f"{changed}_notes"), ("both", f"{changed}_all")):
        shift = np.abs(stacked(pairs, lambda pair, where=where: pair.twin[where]) - corrupt)
        # A shift below the difference of equivalent computations is not known any better than that.
        floors[f"same_conclusion_{label}"] = max(float(shift.mean()), least) / scale
    return floors, scale
