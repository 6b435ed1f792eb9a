"""Ranks that hold up: Spearman's rho and the stability of a top-k set, families resampled."""

import warnings
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import stats
from scipy.spatial.distance import cdist

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import expanded_percentile_ends, percentile_ends
from pkv_interp.stats.clusters import Clusters, checked, clusters, draw_counts
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.resampling import RANK_DRAWS, ResamplingOptions, resampling_of


def _estimate(value: float, ends: tuple[float, float] | None, groups: Clusters) -> Estimate:
    low, high = ends if ends is not None else (None, None)
    return Estimate(
        value=value, ci_low=low, ci_high=high, n_families=groups.n_families, n_instances=groups.n_instances
    )


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Spearman's rho of two lists of numbers (scipy); None where one side is constant.

    Raises:
        PkvError: the lists differ in length.
    """
    a, b = np.asarray(x, float), np.asarray(y, float)
    if a.shape != b.shape:
        raise PkvError(f"x has shape {a.shape} and y {b.shape}", "give them the same shape")
    if _constant(a) or _constant(b):
        return None
    found: Any = stats.spearmanr(a, b)
    return float(found.statistic)


def _constant(values: Float[np.ndarray, "n"]) -> bool:
    return bool((values == values[:1]).all())


def site_spearman(
    x: ArrayLike,
    y: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """Spearman's rho over sites of the mean effects ``x`` and ``y`` [instances, sites].

    Both rankings are taken anew in every draw of families. Resampling adds noise to both, so draws lie
    below the value where sites are hard to tell apart; the interval then errs on the low side.

    Args:
        x: [instances, sites].
        y: [instances, sites].
        families: one name per instance; the unit that is resampled.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.
    """
    a, b = checked(x, "x", ndim=2), checked(y, "y", ndim=2)
    if a.shape[-1] < 3:
        raise PkvError(f"a rank correlation of {a.shape[-1]} sites was asked for", "give at least three")
    drawn_by = resampling_of(resampling, RANK_DRAWS)
    groups = clusters(families, a.shape[0])
    value = rank_correlation(a.mean(0), b.mean(0))
    if value is None:
        raise PkvError("one side of the rank correlation is constant", "give values that vary")
    if groups.n_families < 2:
        return _estimate(value, None, groups)
    counts = draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)
    size = (counts @ groups.sums(np.ones(a.shape[0])))[:, None]
    ranks = [stats.rankdata((counts @ groups.sums(side)) / size, axis=1) for side in (a, b)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        found: Any = stats.pearsonr(*ranks, axis=1)
    drawn = np.nan_to_num(np.asarray(found.statistic))  # a draw in which all sites tie ranks nothing
    return _estimate(value, expanded_percentile_ends(drawn, groups.n_families, drawn_by.level), groups)


def _top(effects: Float[np.ndarray, "draws sites"], k: int) -> Bool[np.ndarray, "draws sites"]:
    """Membership of each site in the top-k set; ties go to the earlier site."""
    chosen = np.argsort(-effects, axis=1, kind="stable")[:, :k]
    member = np.zeros(effects.shape, dtype=bool)
    np.put_along_axis(member, chosen, True, axis=1)
    return member


def jaccard_stability(
    effects: ArrayLike,
    families: Sequence[object],
    k: int,
    *,
    magnitude: bool = False,
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """Mean Jaccard index between the top-k sites of each bootstrap draw and those of the full sample.

    Args:
        effects: [instances, sites]; sites are ranked by their mean, which is also the ranking of recoveries,
            since all sites share a denominator.
        families: one name per instance; the unit that is resampled.
        k: size of the set.
        magnitude: rank by the absolute value of the mean.
        **resampling: ``seed``, ``level`` and ``draws``, see ``Resampling``.

    The interval is the plain percentile one over draws: it says how far the set moves, and is no interval for
    a parameter. With one family every draw is the sample itself, so there is no interval.

    Raises:
        PkvError: k outside 1..sites.
    """
    array = checked(effects, "effects", ndim=2)
    drawn_by = resampling_of(resampling, RANK_DRAWS)
    groups = clusters(families, array.shape[0])
    if not 1 <= k <= array.shape[1]:
        raise PkvError(f"top-{k} of {array.shape[1]} sites was asked for", f"give k in 1..{array.shape[1]}")
    counts = np.vstack(
        [np.ones(groups.n_families), draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)]
    )
    means = (counts @ groups.sums(array)) / (counts @ groups.sums(np.ones(array.shape[0])))[:, None]
    member = _top(np.abs(means) if magnitude else means, k)
    index = 1.0 - cdist(member[1:], member[:1], "jaccard")[:, 0]
    ends = percentile_ends(index, drawn_by.level) if groups.n_families > 1 else None
    return _estimate(float(index.mean()), ends, groups)
