"""Estimates and record rows of the circuit experiment's arms."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from pkv_interp.metrics.recovery import recovery, recovery_by_site
from pkv_interp.records import Run
from pkv_interp.stats import Estimate
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from experiments.circuit import Chunk, CircuitSettings

#: Size of the head sets that the headline speaks of.
HEADLINE_K = 12


class Scorer:
    """Turns patched margins of a list of cases into estimates and record rows."""

    def __init__(
        self,
        run: Run,
        cases: Sequence[Case],
        sites: Sequence["Chunk"],
        settings: "CircuitSettings",
        floor: float,
    ) -> None:
        self.run, self.cases, self.settings, self.floor = run, cases, settings, floor
        self.clean = np.array([s["clean"] for s in sites])
        self.corrupt = np.array([s["corrupt"] for s in sites])
        self.families = [c.family for c in cases]

    def estimate(self, patched: Sequence[float]) -> Estimate:
        """Recovery of one arm, as a ratio of means over families."""
        return recovery(
            patched,
            self.clean,
            self.corrupt,
            self.families,
            noise_floor=self.floor,
            seed=self.settings.seed,
            draws=self.settings.bootstrap_draws,
        ).estimate

    def estimates(self, patched: Float[np.ndarray, "cases arms"]) -> list[Estimate]:
        """Recoveries of many arms at once; the cases' other margins are shared."""
        found = recovery_by_site(
            patched,
            self.clean,
            self.corrupt,
            self.families,
            noise_floor=self.floor,
            seed=self.settings.seed,
            draws=self.settings.bootstrap_draws,
        )
        return [one.estimate for one in found]

    def arm(self, name: str, patched: Sequence[float]) -> Estimate:
        """Estimate an arm and write one row per case."""
        for case, clean, corrupt, value in zip(self.cases, self.clean, self.corrupt, patched, strict=True):
            self.run.rows.append(
                {
                    "family": case.family,
                    "split": case.split,
                    "instance": case.instance,
                    "wording": case.wording,
                    "arm": name,
                    "clean": float(clean),
                    "corrupt": float(corrupt),
                    "patched": float(value),
                    "extra": {"tokens": len(case.clean), "near_tie": bool(abs(clean - corrupt) < self.floor)},
                }
            )
        return self.estimate(patched)


def point(estimate: Estimate, **columns: Any) -> dict[str, Any]:
    """One line of a table: the columns, then the estimate's fields."""
    return {**columns, **estimate.model_dump()}


def stack(chunks: Sequence["Chunk"], name: str) -> np.ndarray:
    """One quantity over cases, cases first."""
    return np.stack([np.asarray(c[name], float) for c in chunks])
