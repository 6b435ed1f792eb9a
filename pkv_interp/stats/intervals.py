"""Intervals for shares of yes and no."""

import numpy as np
from jaxtyping import Float
from statsmodels.stats.proportion import proportion_confint


def is_share(values: Float[np.ndarray, "*any"]) -> bool:
    """Whether all values are zeros and ones."""
    return bool(((values == 0.0) | (values == 1.0)).all())


def by_family(share: float, n_families: int, level: float) -> tuple[float, float]:
    """The one interval of a share: Wilson's, of as many trials as there are families.

    Instances of a family count as one, as if they always agreed, so that the interval is never too short on
    their account. It depends on the share and the number of families alone: a greater share has greater ends,
    at 0 and 1 too, where there is no spread to resample.

    Args:
        share: of all instances.
        n_families: one at least.
        level: of the interval.
    """
    return wilson_ends(share * n_families, n_families, level)


def wilson_ends(hits: float, trials: int, level: float) -> tuple[float, float]:
    """Both ends of the Wilson score interval; at no hit the lower one is 0, and at all hits the upper one 1.

    Args:
        hits: how many trials succeeded, possibly part of one.
        trials: one at least.
        level: of the interval.
    """
    ends = proportion_confint(hits, trials, alpha=1.0 - level, method="wilson")
    low, high = np.asarray(ends, dtype=np.float64).tolist()
    # Rounding leaves 1e-17 where it should be nothing, and the share itself would lie outside.
    return (low if hits else 0.0), (high if hits < trials else 1.0)
