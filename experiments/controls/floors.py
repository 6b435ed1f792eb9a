"""Noise floors of the controls experiment."""

from collections.abc import Sequence

from experiments.controls.ranking import PairSites, RankedQuad
from pkv_interp.run.claims import NoiseFloors, same_conclusion_floors
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
    trigger = _same_conclusion("trigger", [one.polarity for one in ranked], least)
    field = _same_conclusion("field", [one.field for one in ranked], least)
    return {**trigger.by_name, **field.by_name, "self_patch": least / min(trigger.scale, field.scale)}


def _same_conclusion(changed: str, pairs: Sequence[PairSites], least: float) -> NoiseFloors:
    """Floors of the pairs in which one span changes, by where a donor was patched."""
    corrupt = stacked(pairs, lambda pair: pair.corrupt)
    gap = stacked(pairs, lambda pair: pair.clean) - corrupt
    places = {changed: "field", f"{changed}_notes": "notes", f"{changed}_all": "both"}
    moved = {
        label: stacked(pairs, lambda pair, where=where: pair.twin[where]) for label, where in places.items()
    }
    return same_conclusion_floors(moved, corrupt, gap, least)
