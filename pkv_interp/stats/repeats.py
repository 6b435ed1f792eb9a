"""Ratios of costs that were measured in turn, several times."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.estimate import Estimate


def geometric_mean(ratios: ArrayLike, level: float = 0.95) -> Estimate:
    """Geometric mean of ratios over repeats of one piece of work, with Student's t interval of their logs.

    Repeats tell how steady the machine is, and nothing of other prompts. One repeat has no interval.

    Args:
        ratios: positive [repeats].
        level: of the interval.

    Raises:
        PkvError: there are none, or one is not positive and finite.
    """
    values = checked(ratios, "ratios")
    if not np.all(values > 0):
        raise PkvError("a ratio that is not positive has no logarithm", "leave out what took no time")
    logs = np.log(values)
    centre, low, high = float(logs.mean()), None, None
    if logs.size > 1:
        reach = float(stats.t.ppf((1 + level) / 2, logs.size - 1) * stats.sem(logs))
        low, high = (float(np.exp(end)) for end in (centre - reach, centre + reach))
    return Estimate(
        value=float(np.exp(centre)), ci_low=low, ci_high=high, n_families=1, n_instances=logs.size
    )
