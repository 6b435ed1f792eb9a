"""Where a curve first reaches a level, with an interval by family."""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError
from pkv_interp.stats.bootstrap import expanded_percentile_ends
from pkv_interp.stats.clusters import checked, clusters, draw_counts
from pkv_interp.stats.estimate import Estimate
from pkv_interp.stats.resampling import RANK_DRAWS, ResamplingOptions, resampling_of


def first_crossing(
    values: ArrayLike,
    places: Sequence[float],
    families: Sequence[object],
    threshold: float,
    **resampling: Unpack[ResamplingOptions],
) -> Estimate | None:
    """The first place at which the mean of ``values`` [instances, places] is at least ``threshold``.

    None where it never is. The interval is the expanded percentile one over draws of families. A draw whose
    curve never gets there counts as the last place: an upper end there stands for that place or later.

    Args:
        values: [instances, places].
        places: where the columns were measured, in order.
        families: one name per instance; the unit that is resampled.
        threshold: level to be reached; a shortfall of 1e-9 is rounding.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: another number of places than columns.
    """
    array = checked(values, "values", ndim=2)
    if array.shape[1] != len(places):
        raise PkvError(f"{len(places)} places were given for {array.shape[1]} columns", "give one per column")
    groups = clusters(families, array.shape[0])
    least = threshold - 1e-9  # rounding is no shortfall
    reached = np.flatnonzero(array.mean(0) >= least)
    if not reached.size:
        return None
    ends = None
    if groups.n_families > 1:
        drawn_by = resampling_of(resampling, RANK_DRAWS)
        counts = draw_counts(groups.n_families, drawn_by.draws, drawn_by.seed)
        size = counts @ groups.sums(np.ones(array.shape[0]))
        over = (counts @ groups.sums(array)) / size[:, None] >= least
        first = np.where(over.any(1), over.argmax(1), len(places) - 1)
        ends = expanded_percentile_ends(np.asarray(places, float)[first], groups.n_families, drawn_by.level)
    low, high = ends or (None, None)
    return Estimate(
        value=float(places[int(reached[0])]),
        ci_low=low,
        ci_high=high,
        n_families=groups.n_families,
        n_instances=groups.n_instances,
    )
