"""Ranks that hold up: Spearman's rho and the stability of a top-k set, families resampled."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from scipy import stats

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


def _weighted_ranks(
    values: Float[np.ndarray, "instances"], weights: Float[np.ndarray, "draws instances"]
) -> Float[np.ndarray, "draws instances"]:
    """Mid-ranks of ``values`` in samples that hold instance i ``weights[:, i]`` times."""
    unique, place = np.unique(values, return_inverse=True)
    by_value = np.zeros((weights.shape[0], unique.size))
    np.add.at(by_value.T, place, weights.T)
    return (np.cumsum(by_value, axis=1) - (by_value - 1.0) / 2.0)[:, place]


def _correlation(
    x: Float[np.ndarray, "draws n"], y: Float[np.ndarray, "draws n"], weights: Float[np.ndarray, "draws n"]
) -> Float[np.ndarray, "draws"]:
    total = weights.sum(1, keepdims=True)
    x = x - (weights * x).sum(1, keepdims=True) / total
    y = y - (weights * y).sum(1, keepdims=True) / total
    scale = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
    return np.divide((weights * x * y).sum(1), scale, out=np.zeros_like(scale), where=scale > 0.0)


def _pairs(x: ArrayLike, y: ArrayLike, ndim: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = checked(x, "x", ndim), checked(y, "y", ndim)
    if a.shape != b.shape:
        raise PkvError(f"x has shape {a.shape} and y {b.shape}", "give them the same shape")
    if a.shape[-1] < 3:
        raise PkvError(f"a rank correlation of {a.shape[-1]} points was asked for", "give at least three")
    return a, b


def _rho(x: np.ndarray, y: np.ndarray) -> float:
    if np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        raise PkvError("one side of the rank correlation is constant", "give values that vary")
    return float(np.asarray(stats.spearmanr(x, y))[0])


def spearman(
    x: ArrayLike,
    y: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """Spearman's rho of ``x`` and ``y`` [instances], expanded percentile interval by family."""
    a, b = _pairs(x, y, ndim=1)
    drawn_by = resampling_of(resampling, RANK_DRAWS)
    groups = clusters(families, a.size)
    value = _rho(a, b)
    if groups.n_families < 2:
        return _estimate(value, None, groups)
    weights = draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)[:, groups.codes]
    drawn = _correlation(_weighted_ranks(a, weights), _weighted_ranks(b, weights), weights)
    return _estimate(value, expanded_percentile_ends(drawn, groups.n_families, drawn_by.level), groups)


def site_spearman(
    x: ArrayLike,
    y: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Estimate:
    """Spearman's rho over sites of the mean effects ``x`` and ``y`` [instances, sites].

    Both rankings are taken anew in every draw of families. Resampling adds noise to both, so draws lie
    below the value where sites are hard to tell apart; the interval then errs on the low side.
    """
    a, b = _pairs(x, y, ndim=2)
    drawn_by = resampling_of(resampling, RANK_DRAWS)
    groups = clusters(families, a.shape[0])
    value = _rho(a.mean(0), b.mean(0))
    if groups.n_families < 2:
        return _estimate(value, None, groups)
    counts = draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)
    size = (counts @ groups.sums(np.ones(a.shape[0])))[:, None]
    ranks = [stats.rankdata((counts @ groups.sums(side)) / size, axis=1) for side in (a, b)]
    drawn = _correlation(ranks[0], ranks[1], np.ones_like(ranks[0]))
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
        k: size of the set.
        magnitude: rank by the absolute value of the mean.

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
    shared = (member[1:] & member[0]).sum(1)
    index = shared / (2 * k - shared)
    ends = percentile_ends(index, drawn_by.level) if groups.n_families > 1 else None
    return _estimate(float(index.mean()), ends, groups)
