"""Noise floors of the controls experiment."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments._scores import stack
from pkv_interp.records import Run

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk


def floors(run: Run, found: Sequence["Chunk"]) -> None:
    """Noise floors in recovery, measured on discovery families: what patches move that bring no news.

    A self-patch moves what two ways to compute one margin differ by. A same-conclusion donor (another record,
    the same conclusion from the same values) moves what prompts differ by besides the conclusion: the mean
    absolute shift of the margin over the mean gap, for its KV at the changed span, at the notes, and at both.
    """
    least = run.noise_floor["margin"]
    scales = []
    for name, changed in (("polarity", "trigger"), ("field", "field")):
        gap = stack(found, name, "clean") - stack(found, name, "corrupt")
        scales.append(max(abs(float(gap.mean())), least))
        for where, label in (("field", changed), ("notes", f"{changed}_notes"), ("both", f"{changed}_all")):
            shift = np.abs(stack(found, name, "twin", where) - stack(found, name, "corrupt"))
            # A shift below what two computations of one margin differ by is not known any better.
            run.noise_floor[f"same_conclusion_{label}"] = max(float(shift.mean()), least) / scales[-1]
    run.noise_floor["self_patch"] = least / min(scales)
