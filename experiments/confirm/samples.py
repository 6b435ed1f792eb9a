"""Figures of claims as numerators and denominators by instance, and estimates of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float

from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean, ratio_of_means
from pkv_interp.stats.bootstrap import expanded_percentile_ends
from pkv_interp.stats.clusters import clusters, draw_counts
from pkv_interp.stats.equivalence import Equivalence, tost

ALPHA = 0.05


class Figure(Protocol):
    """What a claim is judged on."""

    @property
    def counted(self) -> Bool[np.ndarray, " instances"]:
        """Instances that the model decides right on both sides."""
        ...

    @property
    def families(self) -> Sequence[str]:
        """Of the instances."""
        ...

    def estimate(self, kept: Bool[np.ndarray, " instances"], resampling: Resampling) -> Estimate:
        """The figure over some of the instances."""
        ...


@dataclass(frozen=True, eq=False)
class Ratio:
    """A ratio of means over instances.

    Attributes:
        above, below: by instance.
        families: of the instances.
        counted: those right on both sides.
        share: the numerators are right and wrong, or agreement; the interval is cut at 0 and 1.
    """

    above: Float[np.ndarray, " instances"]
    below: Float[np.ndarray, " instances"]
    families: Sequence[str]
    counted: Bool[np.ndarray, " instances"]
    share: bool = False

    def estimate(self, kept: Bool[np.ndarray, " instances"], resampling: Resampling) -> Estimate:
        """The ratio over some of the instances, with its 95 % interval by family."""
        above, below, families = self._of(kept)
        if self.share:
            return mean(above, families, bounds=(0.0, 1.0), **resampling)
        return ratio_of_means(above, below, families, **resampling)

    def equivalence(
        self, kept: Bool[np.ndarray, " instances"], around: float, floor: float, resampling: Resampling
    ) -> Equivalence:
        """Two one-sided tests that the ratio lies within ``floor`` of ``around``."""
        above, below, families = self._of(kept)
        return tost(above - around * below, families, floor, below, alpha=ALPHA, **resampling)

    def _of(self, kept: Bool[np.ndarray, " instances"]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        return self.above[kept], self.below[kept], [f for f, k in zip(self.families, kept, strict=True) if k]


@dataclass(frozen=True, eq=False)
class DepthGap:
    """Depth from which answers are kept less the depth from which a conclusion is read.

    Attributes:
        rise: accuracy of probes over that of shuffled labels.
        places: depths of the layers, as shares.
        commit: depths from which all answers of a quad are kept.
        least: rise from which a layer counts as written.
        families: of the quads.
        counted: those that are right on all their prompts.
    """

    rise: Float[np.ndarray, "quads layers"]
    places: Float[np.ndarray, " layers"]
    commit: Float[np.ndarray, " quads"]
    least: float
    families: Sequence[str]
    counted: Bool[np.ndarray, " quads"]

    def estimate(self, kept: Bool[np.ndarray, " quads"], resampling: Resampling) -> Estimate:
        """The gap; a curve that never rises as far counts as written in the last layer.

        The interval is the expanded percentile one over draws of families, in which both depths are taken
        from the same families.
        """
        rise, commit = self.rise[kept], self.commit[kept]
        groups = clusters([f for f, k in zip(self.families, kept, strict=True) if k], len(commit))
        sums = groups.sums(rise), groups.sums(commit), groups.sums(np.ones(len(commit)))
        value = self._gaps(np.ones((1, groups.n_families)), *sums)[0]
        low, high = None, None
        if groups.n_families > 1:
            drawn = self._gaps(draw_counts(groups.n_families, resampling["draws"], resampling["seed"]), *sums)
            low, high = expanded_percentile_ends(drawn, groups.n_families, 0.95)
            low, high = min(low, float(value)), max(high, float(value))
        return Estimate(
            value=float(value),
            ci_low=low,
            ci_high=high,
            n_families=groups.n_families,
            n_instances=groups.n_instances,
        )

    def _gaps(
        self,
        counts: Float[np.ndarray, "draws families"],
        rise: Float[np.ndarray, "families layers"],
        commit: Float[np.ndarray, " families"],
        size: Float[np.ndarray, " families"],
    ) -> Float[np.ndarray, " draws"]:
        n = counts @ size
        over = (counts @ rise) / n[:, None] >= self.least - 1e-9  # rounding is no shortfall
        first = np.where(over.any(1), over.argmax(1), len(self.places) - 1)
        return (counts @ commit) / n - self.places[first]
