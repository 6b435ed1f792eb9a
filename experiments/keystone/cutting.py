"""What cutting blocks into chunks costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.keystone.edits import SceneCuts
from experiments.keystone.settings import CUTS
from experiments.keystone.tables import CutLine
from pkv_interp.records.tables import interval
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import UNSIGNED, Resampling
from pkv_interp.run.stage import stacked
from pkv_interp.stats import difference, mean

_PENALTIES = {
    "split": "agreement lost by cutting blocks that refer to one another",
    "independent": "agreement lost by cutting blocks that do not",
}


def cutting(scenes: Sequence[SceneCuts], resampling: Resampling) -> tuple[list[Headline], list[CutLine]]:
    """Agreement with the full prefill by cut, where that is right on both values; and what cutting costs.

    A penalty is the agreement lost against one chunk (colocated).
    """
    names = [one.family for one in scenes]
    counted = [one for one in scenes if one.old.full < 0 < one.new.full]
    kept = [one.family for one in counted]
    cuts = [cut for cut in CUTS if cut in scenes[0].old.cuts]
    agreed = {cut: np.array([_agreed(one, cut) for one in counted]) for cut in cuts}
    lines: list[CutLine] = []
    for cut in cuts:
        kl = stacked(scenes, lambda s, cut=cut: [s.old.cuts[cut].kl, s.new.cuts[cut].kl]).mean(1)
        alike = mean(agreed[cut], kept, bounds=(0.0, 1.0), **resampling) if counted else None
        columns: dict[str, Any] = {
            **interval("kl", mean(kl, names, bounds=UNSIGNED, **resampling)),
            **interval("agreement", alike),
        }
        lines.append(
            CutLine(
                cut=cut,
                chunks=len(CUTS[cut]),
                counted=len(counted),
                n=len(scenes),
                n_families=len(set(names)),
                **columns,
            )
        )
    lost = {
        cut: difference(agreed["colocated"], agreed[cut], kept, **resampling)
        for cut in _PENALTIES
        if counted and cut in cuts
    }
    return [Headline(f"{cut}_penalty", estimate, _PENALTIES[cut]) for cut, estimate in lost.items()], lines


def _agreed(scene: SceneCuts, cut: str) -> float:
    """Share of both values on which the cut decides as the full prefill does."""
    return float(np.mean([(s.cuts[cut].margin > 0) == (s.full > 0) for s in (scene.old, scene.new)]))
