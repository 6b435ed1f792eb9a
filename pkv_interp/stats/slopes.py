"""Slopes of trends, one per instance, so that families can be resampled."""

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked


def slope(x: ArrayLike, y: ArrayLike) -> float:
    """Least squares slope of ``y`` on ``x`` [points].

    Raises:
        PkvError: lengths differ, a number is not finite, or ``x`` does not vary.
    """
    a, b = checked(x, "x"), checked(y, "y")
    if a.size != b.size:
        raise PkvError(f"x has {a.size} points and y {b.size}", "pair them")
    spread = a - a.mean()
    if not np.ptp(a) > 0.0:
        raise PkvError("a slope over a constant was asked for", "give at least two different x")
    return float((spread * (b - b.mean())).sum() / (spread * spread).sum())
