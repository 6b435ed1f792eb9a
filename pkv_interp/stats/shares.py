"""Two shares of the same instances: how far they are apart."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import mean
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.resampling import ResamplingOptions


def share_difference(
    first: ArrayLike, second: ArrayLike, families: Sequence[object], **resampling: Unpack[ResamplingOptions]
) -> Estimate:
    """mean(first - second) of zeros and ones, paired on instances, with its interval by family.

    Where the two differ nowhere there is no spread to resample, and an interval without a width would take
    that for certainty. They are no further apart than the share of instances on which they differ, whose
    interval then says how far that may be.

    Args:
        first: [instances], 0 or 1.
        second: [instances], 0 or 1, in the same order.
        families: one name per instance; the unit that is resampled.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: lengths differ, or a number is neither 0 nor 1.
    """
    a, b = checked(first, "first"), checked(second, "second")
    if a.size != b.size:
        raise PkvError(f"the arms have {a.size} and {b.size} instances", "pair the arms on instances")
    if not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise PkvError("an instance is neither right nor wrong", "give 0 or 1 for each")
    apart = a - b
    found = mean(apart, families, bounds=(-1.0, 1.0), **resampling)
    reach = mean(np.abs(apart), families, bounds=(0.0, 1.0), **resampling).ci_high
    if apart.any() or reach is None:
        return found
    return found.model_copy(update={"ci_low": -reach, "ci_high": reach})
