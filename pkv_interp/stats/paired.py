"""Arms compared on the same instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import difference, linearised_error
from pkv_interp.stats.clusters import checked, clusters
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.multiple import holm
from pkv_interp.stats.resampling import ResamplingOptions


@dataclass(frozen=True)
class Pair:
    """Two arms, their difference (first minus second), and the p value before and after Holm."""

    first: str
    second: str
    difference: Estimate
    p_value: float
    p_holm: float


def pairwise(
    arms: Mapping[str, ArrayLike],
    families: Sequence[object],
    denominator: ArrayLike | None = None,
    **resampling: Unpack[ResamplingOptions],
) -> list[Pair]:
    """Every pair of ``arms`` (name to [instances]), paired on instances.

    p values are Student's t on the linearised error by family, adjusted over all pairs by Holm.

    Args:
        arms: name to [instances], at least two.
        families: one name per instance; the unit that is resampled.
        denominator: [instances]; None for differences of means.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: fewer than two arms or fewer than two families.
    """
    if len(arms) < 2:
        raise PkvError(f"{len(arms)} arm was given", "give at least two arms to compare")
    values = {name: checked(arm, name) for name, arm in arms.items()}
    found: list[tuple[str, str, Estimate, float]] = []
    for first, second in combinations(values, 2):
        estimate = difference(values[first], values[second], families, denominator, **resampling)
        if estimate.n_families < 2:
            raise PkvError("arms were compared on a single family", "measure at least two families")
        gap = values[first] - values[second]
        groups = clusters(families, gap.size)
        below = np.ones_like(gap) if denominator is None else checked(denominator, "denominator")
        ratio, error = linearised_error(groups.sums(gap), groups.sums(below))
        if error > 0.0:
            p_value = float(2.0 * stats.t.sf(abs(ratio) / error, groups.n_families - 1))
        else:
            p_value = 1.0 if ratio == 0.0 else 0.0
        found.append((first, second, estimate, p_value))
    adjusted = holm([p_value for *_, p_value in found])
    return [
        Pair(first=first, second=second, difference=estimate, p_value=p_value, p_holm=float(p_holm))
        for (first, second, estimate, p_value), p_holm in zip(found, adjusted, strict=True)
    ]
