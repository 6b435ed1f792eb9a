"""From decisions on edit scenes to estimates by family and rows."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pkv_interp.measure.edit_decisions import EditDecision
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import UNSIGNED, Resampling
from pkv_interp.stats import Estimate, mean

Part = tuple[list[Headline], list[TableRow]]


class EditScorer:
    """Turns decisions on scenes into estimates and record rows.

    Attributes:
        resampling: seed and draws of every interval.
        seed: of them.
        rows: those noted so far.
    """

    def __init__(self, resampling: Resampling) -> None:
        """Score with these intervals; there are no rows yet."""
        self.resampling = resampling
        self.seed = resampling.get("seed", 0)
        self.rows: list[Row] = []

    def mean(self, scenes: Sequence[EditScene], values: Iterable[float]) -> Estimate:
        """Mean over scenes, with its interval over families."""
        return mean(_array(values), _families(scenes), **self.resampling)

    def share(self, scenes: Sequence[EditScene], right: Iterable[float]) -> Estimate:
        """Share of right decisions; the interval is cut at 0 and 1."""
        return mean(_array(right), _families(scenes), bounds=(0.0, 1.0), **self.resampling)

    def unsigned(self, scenes: Sequence[EditScene], values: Iterable[float]) -> Estimate:
        """Mean of divergences or errors; the interval is cut at 0."""
        return mean(_array(values), _families(scenes), bounds=UNSIGNED, **self.resampling)

    def note(
        self,
        scenes: Sequence[EditScene],
        arm: str,
        decisions: Sequence[EditDecision],
        **extra: Sequence[Any],
    ) -> None:
        """One row per scene: its margin, and the further columns.

        Args:
            scenes: that were decided.
            arm: its name.
            decisions: of the arm, one per scene.
            extra: further columns, one value per scene.
        """
        for i, (scene, decision) in enumerate(zip(scenes, decisions, strict=True)):
            self.rows.append(
                Row(
                    family=scene.family,
                    split=scene.task.split,
                    instance=scene.instance,
                    wording=scene.task.wording,
                    arm=arm,
                    patched=decision.margin,
                    extra={
                        "right": decision.right,
                        "fillers": scene.style.n_fillers,
                        "place": scene.place,
                        **{name: values[i] for name, values in extra.items()},
                    },
                )
            )


def _array(values: Iterable[float]) -> np.ndarray:
    return np.array(list(values), float)


def _families(scenes: Sequence[EditScene]) -> list[str]:
    return [scene.family for scene in scenes]
