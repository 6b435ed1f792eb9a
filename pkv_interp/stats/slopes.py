"""Slopes of trends, one per instance, so that families can be resampled."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import linregress
from statsmodels.regression.linear_model import OLS
from statsmodels.tools import add_constant

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.estimate import Estimate


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least squares slope of ``y`` on ``x`` [points] (scipy).

    Raises:
        PkvError: lengths differ, a number is not finite, or ``x`` does not vary.
    """
    a, b = checked(x, "x"), checked(y, "y")
    if a.size != b.size:
        raise PkvError(f"x has {a.size} points and y {b.size}", "pair them")
    if not np.ptp(a) > 0.0:
        raise PkvError("a slope over a constant was asked for", "give at least two different x")
    fit: Any = linregress(a, b)
    return float(fit.slope)


def exponent(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Estimate:
    """Power with which ``y`` grows with ``x``: the slope of log y on log x, with Student's t interval.

    The interval is that of the regression over the points: it is wide where a power law does not describe
    them. With two points there is none.

    Args:
        x: positive, at least two different ones.
        y: positive, as many.
        level: of the interval.

    Raises:
        PkvError: as ``slope``, or a number that is not positive.
    """
    a, b = checked(x, "x"), checked(y, "y")
    if not (np.all(a > 0) and np.all(b > 0)):
        raise PkvError("an exponent of numbers that are not positive was asked for", "leave zeros out")
    value = slope(np.log(a), np.log(b))
    low = high = None
    if a.size > 2:
        fit = OLS(np.log(b), add_constant(np.log(a))).fit()
        low, high = (float(end) for end in fit.conf_int(1 - level)[1])
    return Estimate(value=value, ci_low=low, ci_high=high, n_families=1, n_instances=a.size)
