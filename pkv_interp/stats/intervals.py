"""Intervals for shares of yes and no."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.stats.proportion import proportion_confint

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked, clusters
from pkv_interp.stats.estimate import Estimate


def wilson(outcomes: ArrayLike, families: Sequence[object], *, level: float = 0.95) -> Estimate:
    """Share of true ``outcomes`` [instances] with the Wilson score interval of statsmodels.

    The interval does not collapse at 0 or 1, but takes instances as independent: where instances of a family
    tend to agree it is too short, and ``mean`` is the one to report beside it.

    Args:
        outcomes: [instances], booleans or zeros and ones.
        families: one name per instance, counted for the record.
        level: of the interval.

    Raises:
        PkvError: an outcome that is neither 0 nor 1.
    """
    array = checked(outcomes, "outcomes")
    groups = clusters(families, array.size)
    if not ((array == 0.0) | (array == 1.0)).all():
        raise PkvError("an outcome is neither 0 nor 1", "give booleans, or use mean for other numbers")
    low, high = wilson_ends(int(array.sum()), array.size, level)
    return Estimate(
        value=float(array.mean()),
        ci_low=low,
        ci_high=high,
        n_families=groups.n_families,
        n_instances=groups.n_instances,
    )


def wilson_ends(hits: int, trials: int, level: float) -> tuple[float, float]:
    """Both ends of the Wilson score interval; at no hit the lower one is 0, and at all hits the upper one 1.

    Args:
        hits: how many trials succeeded.
        trials: one at least.
        level: of the interval.
    """
    ends = proportion_confint(hits, trials, alpha=1.0 - level, method="wilson")
    low, high = np.asarray(ends, dtype=np.float64).tolist()
    # Rounding leaves 1e-17 where it should be nothing, and the share itself would lie outside.
    return (low if hits else 0.0), (high if hits < trials else 1.0)
