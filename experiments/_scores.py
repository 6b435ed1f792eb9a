"""Estimates and record rows of an experiment's arms."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.records import Run
from pkv_interp.stats import Estimate, max_t, mean, ratios_of_means
from pkv_interp.stats.recovery import recovery_by_site
from pkv_interp.tasks import Case

Chunk = Mapping[str, Any]
#: Bounds of a divergence or an error.
NOT_NEGATIVE = (0.0, float("inf"))


class Scored(Protocol):
    """The settings that estimates need."""

    @property
    def seed(self) -> int: ...

    @property
    def bootstrap_draws(self) -> int: ...


class Scorer:
    """Turns patched margins of a list of cases into estimates, tests and record rows."""

    def __init__(self, run: Run, cases: Sequence[Case], chunks: Sequence[Chunk], settings: Scored) -> None:
        self.run, self.cases = run, cases
        self.clean = np.array([c["clean"] for c in chunks], float)
        self.corrupt = np.array([c["corrupt"] for c in chunks], float)
        self.families = [c.family for c in cases]
        # Near ties are left out. Where nothing else is left (a random model) all are kept: rows flag them,
        # and the competence gate has failed.
        floor = run.noise_floor["margin"]
        self.floor = floor if (np.abs(self.gap) > floor).any() else 0.0
        self.options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}

    @property
    def gap(self) -> np.ndarray:
        """Clean minus corrupt margins: the denominators."""
        return self.clean - self.corrupt

    def recoveries(self, patched: ArrayLike) -> list[Estimate]:
        """Recovery of many arms, [cases, arms], each a ratio of means over families."""
        found = recovery_by_site(
            np.asarray(patched, float),
            self.clean,
            self.corrupt,
            self.families,
            noise_floor=self.floor,
            **self.options,
        )
        return [one.estimate for one in found]

    def recovery(self, patched: ArrayLike) -> Estimate:
        """Recovery of one arm, [cases]."""
        return self.recoveries(np.asarray(patched, float)[:, None])[0]

    def ratios(self, numerators: ArrayLike) -> list[Estimate]:
        """Means of [cases, sites] over the mean gap, for quantities that are no patched margins."""
        return ratios_of_means(numerators, self.gap, self.families, **self.options)

    def mean(self, values: ArrayLike) -> Estimate:
        """Plain mean of [cases]."""
        return mean(np.asarray(values, float), self.families, **self.options)

    def share(self, values: ArrayLike) -> Estimate:
        """Mean of [cases] of shares or of right and wrong; the interval is cut at 0 and 1."""
        return mean(np.asarray(values, float), self.families, bounds=(0.0, 1.0), **self.options)

    def adjusted(self, patched: ArrayLike) -> list[float | None]:
        """p value of each site of [cases, sites] against no effect, max-T over all; None for one family."""
        if len(set(self.families)) < 2:
            return [None] * np.shape(patched)[1]
        moved = np.asarray(patched, float) - self.corrupt[:, None]
        return [float(p) for p in max_t(moved, self.families, seed=self.options["seed"]).p_values]

    def arm(self, name: str, patched: ArrayLike, **extra: Any) -> Estimate:
        """Estimate an arm and write one row per case.

        Args:
            extra: scalars for every row, or a sequence with one per case.
        """
        values = np.asarray(patched, float)
        for i, case in enumerate(self.cases):
            mine = {k: v[i] if isinstance(v, list | np.ndarray) else v for k, v in extra.items()}
            self.run.rows.append(
                {
                    "family": case.family,
                    "split": case.split,
                    "instance": case.instance,
                    "wording": case.wording,
                    "arm": name,
                    "clean": float(self.clean[i]),
                    "corrupt": float(self.corrupt[i]),
                    "patched": float(values[i]),
                    "extra": {
                        "tokens": len(case.clean),
                        "near_tie": bool(abs(self.gap[i]) <= self.run.noise_floor["margin"]),
                        **mine,
                    },
                }
            )
        return self.recovery(values)


def point(estimate: Estimate, **columns: Any) -> dict[str, Any]:
    """One line of a table: the columns, then the estimate's fields."""
    return {**columns, **estimate.model_dump()}


def named(name: str, estimate: Estimate) -> dict[str, float | None]:
    """A second estimate in a line, under a name of its own."""
    return {name: estimate.value, f"{name}_ci_low": estimate.ci_low, f"{name}_ci_high": estimate.ci_high}


def stack(chunks: Sequence[Chunk], *path: str) -> np.ndarray:
    """One quantity over cases, cases first; ``path`` leads into nested mappings."""
    out = []
    for chunk in chunks:
        value: Any = chunk
        for name in path:
            value = value[name]
        out.append(np.asarray(value, float))
    return np.stack(out)
