"""Two shares of the same instances: how far they are apart."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import mean
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.resampling import ResamplingOptions

#: Width of an interval up to which there is none.
_ROUNDING = 1e-12


def paired_shares(
    first: ArrayLike, second: ArrayLike
) -> tuple[Float[np.ndarray, " instances"], Float[np.ndarray, " instances"]]:
    """Two arms of zeros and ones on the same instances.

    Args:
        first: [instances], 0 or 1.
        second: [instances], 0 or 1, in the same order.

    Raises:
        PkvError: lengths differ, or a number is neither 0 nor 1.
    """
    a, b = checked(first, "first"), checked(second, "second")
    if a.size != b.size:
        raise PkvError(f"the arms have {a.size} and {b.size} instances", "pair the arms on instances")
    if not np.isin(np.concatenate([a, b]), (0.0, 1.0)).all():
        raise PkvError("an instance is neither right nor wrong", "give 0 or 1 for each")
    return a, b


def share_difference(
    first: ArrayLike, second: ArrayLike, families: Sequence[object], **resampling: Unpack[ResamplingOptions]
) -> Estimate:
    """mean(first - second) of zeros and ones, paired on instances, with its interval by family.

    Where they differ nowhere, or by the same in every family, there is no spread to resample, and an interval
    without a width would take that for certainty. They are no further apart than the share of instances on
    which they differ, whose interval then says how far that may be.

    Args:
        first: [instances], 0 or 1.
        second: [instances], 0 or 1, in the same order.
        families: one name per instance; the unit that is resampled.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: lengths differ, or a number is neither 0 nor 1.
    """
    a, b = paired_shares(first, second)
    apart = a - b
    found = mean(apart, families, bounds=(-1.0, 1.0), **resampling)
    if found.ci_low is None or found.ci_high is None or found.ci_high - found.ci_low > _ROUNDING:
        return found
    differ = mean(np.abs(apart), families, bounds=(0.0, 1.0), **resampling)
    assert differ.ci_low is not None
    assert differ.ci_high is not None
    low = differ.ci_low if found.value > 0.0 else -differ.ci_high
    high = -differ.ci_low if found.value < 0.0 else differ.ci_high
    return found.model_copy(update={"ci_low": low, "ci_high": high})
