"""Equivalence within a floor that was set beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import linearised_error, ratio_of_means
from pkv_interp.stats.clusters import checked, clusters
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.resampling import DRAWS


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests.

    Attributes:
        estimate: the effect with its interval at level 1 - 2 alpha (90 % for alpha 0.05).
        floor: half width of the region of equivalence, in the units of the effect.
        p_value: the larger of the two one-sided p values.
        equivalent: p_value below alpha and the whole interval inside (-floor, floor).
    """

    estimate: Estimate
    floor: float
    p_value: float
    equivalent: bool


def tost(
    effects: ArrayLike,
    families: Sequence[object],
    floor: float,
    denominator: ArrayLike | None = None,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    draws: int = DRAWS,
) -> Equivalence:
    """Two one-sided tests that mean(effects) / mean(denominator) lies within ``floor`` of zero.

    Args:
        effects: [instances], signed; for two arms, their paired difference.
        families: one name per instance; the unit that is resampled.
        floor: the largest effect that counts as none, in the units of the effect. It must not be chosen after
            the effects were seen; claims of records have ``pkv_interp.run.claims.EQUIVALENCE_FLOOR``.
        denominator: [instances]; None for a plain mean.
        alpha: level of each one-sided test.
        seed: of the interval's draws.
        draws: number of them.

    The p values are Student's t on the linearised error by family with n_families - 1 degrees of freedom;
    equivalence also needs the bootstrap interval to agree, so that neither approximation decides alone.

    Raises:
        PkvError: a floor that is not positive, or fewer than two families.
    """
    array = checked(effects, "effects")
    groups = clusters(families, array.size)
    if not (np.isfinite(floor) and floor > 0.0):
        raise PkvError(f"the floor of equivalence is {floor}", "give a positive number, set beforehand")
    if groups.n_families < 2:
        raise PkvError("equivalence was asked of a single family", "measure at least two families")
    below = np.ones_like(array) if denominator is None else checked(denominator, "denominator")
    estimate = ratio_of_means(array, below, families, seed=seed, level=1.0 - 2.0 * alpha, draws=draws)
    _, error = linearised_error(groups.sums(array), groups.sums(below))
    if error == 0.0:
        p_value = 0.0 if abs(estimate.value) < floor else 1.0
    else:
        freedom = groups.n_families - 1
        p_value = float(stats.t.sf((floor - abs(estimate.value)) / error, freedom))
    low, high = estimate.ci_low, estimate.ci_high
    inside = low is not None and high is not None and -floor < low and high < floor
    return Equivalence(
        estimate=estimate, floor=float(floor), p_value=p_value, equivalent=bool(p_value < alpha and inside)
    )
