"""Faithfulness of a circuit against its size, in the manner of MIB (arXiv 2504.13151)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import trapezoid

from pkv_interp.errors import PkvError
from pkv_interp.stats import Estimate, ratios_of_means
from pkv_interp.stats.bootstrap import expanded_percentile_ends
from pkv_interp.stats.clusters import checked, clusters, draw_counts
from pkv_interp.stats.resampling import ResamplingOptions, resampling_of


@dataclass(frozen=True)
class Faithfulness:
    """The curve and its two summaries.

    Attributes:
        shares: [sizes], share of heads kept, 0 first and 1 last.
        curve: faithfulness at each share; 0 at share 0 and 1 at share 1 by definition.
        area: trapezoid area under the curve (CPR of MIB; higher is better, random about 0.3).
        distance: trapezoid area between the curve and 1 (CMD of MIB; 0 is best).
    """

    shares: tuple[float, ...]
    curve: tuple[Estimate, ...]
    area: Estimate
    distance: Estimate


def _with_ends(
    shares: Sequence[float], scores: ArrayLike, empty: ArrayLike, full: ArrayLike
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = checked(shares, "shares")
    m = checked(scores, "scores", ndim=2)
    low, high = checked(empty, "empty"), checked(full, "full")
    if m.shape[1] != x.size or not low.size == high.size == m.shape[0]:
        raise PkvError(
            f"scores {m.shape} do not fit {x.size} shares, {low.size} empty and {high.size} full scores",
            "give scores as [instances, shares] and one empty and full score per instance",
        )
    if (np.diff(x) <= 0.0).any() or x[0] < 0.0 or x[-1] > 1.0:
        raise PkvError("the shares do not rise from 0 to 1", "sort them, drop repeats, keep to 0..1")
    gained = m - low[:, None]
    gap = high - low
    if x[0] > 0.0:
        x, gained = np.concatenate([[0.0], x]), np.column_stack([np.zeros_like(gap), gained])
    if x[-1] < 1.0:
        x, gained = np.concatenate([x, [1.0]]), np.column_stack([gained, gap])
    return x, gained, gap


def faithfulness(
    shares: Sequence[float],
    scores: ArrayLike,
    empty: ArrayLike,
    full: ArrayLike,
    families: Sequence[object],
    **resampling: Unpack[ResamplingOptions],
) -> Faithfulness:
    """(mean m(C) - mean m(empty)) / (mean m(full) - mean m(empty)) against the share of heads kept.

    Args:
        shares: [sizes], rising, within 0..1; 0 and 1 are added where absent, with 0 and 1 as their values.
        scores: [instances, sizes], the metric (margin in logits) with the circuit of that size.
        empty: [instances], the metric with no head kept.
        full: [instances], the metric of the whole model.
        families: one name per instance.

    The curve is a ratio of means, and its area a ratio of means as well (the trapezoid rule is linear). The
    distance is not, so its interval is an expanded percentile one over the same draws.

    Raises:
        PkvError: shapes that do not fit, shares out of order, or full and empty with equal means.
    """
    x, gained, gap = _with_ends(shares, scores, empty, full)
    columns = np.column_stack([gained, trapezoid(gained, x)])
    *curve, area = ratios_of_means(columns, gap, families, **resampling)
    groups = clusters(families, gap.size)
    ends: tuple[float, float] | tuple[None, None] = (None, None)
    if groups.n_families > 1:
        drawn_by = resampling_of(resampling)
        counts = draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)
        drawn = (counts @ groups.sums(gained)) / (counts @ groups.sums(gap))[:, None]
        ends = expanded_percentile_ends(trapezoid(np.abs(1.0 - drawn), x), groups.n_families, drawn_by.level)
    distance = Estimate(
        value=float(trapezoid([abs(1.0 - point.value) for point in curve], x)),
        ci_low=ends[0],
        ci_high=ends[1],
        n_families=groups.n_families,
        n_instances=groups.n_instances,
    )
    return Faithfulness(shares=tuple(x.tolist()), curve=tuple(curve), area=area, distance=distance)
