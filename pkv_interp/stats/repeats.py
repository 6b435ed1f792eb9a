"""Figures over repeats of one piece of work: times, their ratios, and how far something was off."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.estimate import Estimate


def over_repeats(values: ArrayLike, level: float = 0.95) -> Estimate:
    """Mean of repeats with Student's t interval; none of a single one.

    Raises:
        PkvError: there are none, or one is not finite.
    """
    return _mean(checked(values, "repeats"), level, logs=False)


def ratio_over_repeats(ratios: ArrayLike, level: float = 0.95) -> Estimate:
    """Geometric mean of ratios of times, with Student's t interval of their logarithms.

    Raises:
        PkvError: there are none, or one is not finite or not positive.
    """
    given = checked(ratios, "ratios")
    if not np.all(given > 0):
        raise PkvError("a ratio of times is not positive", "leave out what was not timed")
    return _mean(np.log(given), level, logs=True)


def _mean(values: np.ndarray, level: float, *, logs: bool) -> Estimate:
    back = np.exp if logs else float
    middle, n = float(values.mean()), values.size
    if n < 2:
        return Estimate(value=float(back(middle)), n_families=1, n_instances=n)
    half = float(t.ppf((1 + level) / 2, n - 1) * values.std(ddof=1) / np.sqrt(n))
    low, high = (float(back(middle + side * half)) for side in (-1, 1))
    return Estimate(value=float(back(middle)), ci_low=low, ci_high=high, n_families=1, n_instances=n)
