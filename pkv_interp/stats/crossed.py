"""Ratios of means where two things vary at once: seeds of a training, and families, which all seeds share.

The error is the two-way cluster-robust one (Cameron, Gelbach and Miller, Journal of Business & Economic
Statistics 29, 2011) of the linearised ratio: what seeds vary, plus what families vary, less what a seed and a
family vary together, which both count. The critical value is Student's t with Satterthwaite's degrees of
freedom, so that three seeds which differ cost a wide interval and three that agree do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import expanded_percentile_ends, mean, ratio_of_means
from pkv_interp.stats.clusters import Clusters, checked, clusters, draw_counts
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.intervals import by_family, is_share
from pkv_interp.stats.resampling import ResamplingOptions, resampling_of


@dataclass(frozen=True)
class _Sums:
    """Sums by seed and family of numerators and denominators, each [seeds, families]."""

    above: Float[np.ndarray, "seeds families"]
    below: Float[np.ndarray, "seeds families"]
    groups: Clusters


def _sums(numerators: ArrayLike, denominators: ArrayLike, families: Sequence[object]) -> _Sums:
    above = checked(numerators, "numerators", ndim=2)
    below = checked(denominators, "denominators", ndim=2)
    if above.shape != below.shape:
        raise PkvError(
            f"numerators are {above.shape} and denominators {below.shape}", "pair them by seed and instance"
        )
    groups = clusters(families, above.shape[1])
    if (below.sum(1) == 0.0).any():
        raise PkvError(
            "the denominators of a seed sum to zero, so its ratio of means does not exist",
            "check that its clean and corrupt margins differ",
        )
    return _Sums(groups.sums(above.T).T, groups.sums(below.T).T, groups)


def ratio_over_seeds(
    numerators: ArrayLike,
    denominators: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """mean(numerators) / mean(denominators) over seeds and instances, interval over seeds and families.

    With one seed the interval is over families alone, as everywhere else.

    Args:
        numerators: [seeds, instances], for example patched minus corrupt margins in logits.
        denominators: [seeds, instances], for example clean minus corrupt margins.
        families: one name per instance, the same for every seed.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: shapes differ, a number is not finite, or the denominators of a seed sum to zero.
    """
    sums = _sums(numerators, denominators, families)
    n_seeds, n_families = sums.above.shape
    n_instances = sums.groups.n_instances
    if n_seeds == 1 or n_families == 1:
        # One family says nothing of others, however many seeds there are.
        names = list(families) * n_seeds
        found = ratio_of_means(np.ravel(numerators), np.ravel(denominators), names, **resampling)
        return found.model_copy(update={"n_instances": n_instances})
    total = sums.below.sum()
    ratio = sums.above.sum() / total
    half = _half_width(sums.above - ratio * sums.below, resampling_of(resampling).level) / abs(total)
    return Estimate(
        value=float(ratio),
        ci_low=float(ratio - half),
        ci_high=float(ratio + half),
        n_families=n_families,
        n_instances=n_instances,
    )


def share_over_seeds(
    values: ArrayLike, families: Sequence[object], **resampling: Unpack[ResamplingOptions]
) -> Estimate:
    """Mean of shares, or of right and wrong, over seeds and instances; the interval is cut at 0 and 1.

    Where one seed was run it is the interval of ``mean``. Of several it is never shorter than that: seeds add
    to what families vary.

    Args:
        values: [seeds, instances], between 0 and 1.
        families: one name per instance, the same for every seed.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.
    """
    array = checked(values, "values", ndim=2)
    if len(array) == 1:
        return mean(array[0], families, bounds=(0.0, 1.0), **resampling)
    found = ratio_over_seeds(array, np.ones_like(array), families, **resampling)
    if found.ci_low is None or found.ci_high is None:
        return found
    low, high = max(found.ci_low, 0.0), min(found.ci_high, 1.0)
    if is_share(array):
        alone = by_family(found.value, found.n_families, resampling_of(resampling).level)
        low, high = min(low, alone[0]), max(high, alone[1])
    return found.model_copy(update={"ci_low": low, "ci_high": high})


def _half_width(residual: Float[np.ndarray, "seeds families"], level: float) -> float:
    """Half the width of the interval of a sum, given its residuals by seed and family."""

    def scaled(sums: Float[np.ndarray, " groups"]) -> float:
        return float(np.square(sums).sum() * sums.size / (sums.size - 1))

    n_seeds, n_families = residual.shape
    by_seed, by_family = scaled(residual.sum(1)), scaled(residual.sum(0))
    # Never below the larger of the two: a difference of variances can be anything.
    variance = max(by_seed + by_family - scaled(residual.ravel()), by_seed, by_family)
    if variance == 0.0:
        return 0.0
    pooled = by_seed**2 / (n_seeds - 1) + by_family**2 / (n_families - 1)
    freedom = max((by_seed + by_family) ** 2 / pooled, min(n_seeds, n_families) - 1)
    return float(stats.t.ppf(0.5 + level / 2.0, freedom) * np.sqrt(variance))


def sd_over_seeds(
    numerators: ArrayLike,
    denominators: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """Standard deviation over seeds of their ratios of means; the interval resamples families.

    Few seeds say little of how far another would lie: the interval tells what the families add, not that.

    Args:
        numerators: [seeds, instances].
        denominators: [seeds, instances].
        families: one name per instance, the same for every seed.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: fewer than two seeds, or as ``ratio_over_seeds``.
    """
    sums = _sums(numerators, denominators, families)
    n_seeds, n_families = sums.above.shape
    if n_seeds < 2:
        raise PkvError("one seed has no standard deviation", "train with two seeds or more")
    chosen = resampling_of(resampling)
    value = float((sums.above.sum(1) / sums.below.sum(1)).std(ddof=1))
    ends: tuple[float | None, float | None] = (None, None)
    if n_families > 1:
        counts = draw_counts(n_families, chosen.draws, chosen.seed)
        below = counts @ sums.below.T
        whole = (below != 0.0).all(1)
        drawn = ((counts @ sums.above.T)[whole] / below[whole]).std(axis=1, ddof=1)
        ends = expanded_percentile_ends(drawn, n_families, chosen.level)
    return Estimate(
        value=value,
        ci_low=ends[0],
        ci_high=ends[1],
        n_families=n_families,
        n_instances=sums.groups.n_instances,
    )
