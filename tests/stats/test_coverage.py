"""Simulated coverage of the intervals that every figure carries."""

from functools import lru_cache

import numpy as np
import pytest

from pkv_interp.stats.bootstrap import cluster_interval
from pkv_interp.stats.clusters import draw_counts
from pkv_interp.stats.resampling import Resampling

TRUTH = 0.6
SETS, DRAWS = 2000, 1000
NORMAL = ("equal", "unequal", "heavy", "plain_mean")


@lru_cache(maxsize=4)
def simulate(kind: str, n_families: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums by family of numerators and denominators, and the instance values, for many data sets.

    Instances of a family share an effect (intra-family correlation about 0.6) and a level of the denominator.
    """
    rng = np.random.default_rng(20240 + n_families)
    sizes = np.full((SETS, n_families), 4) if kind == "equal" else rng.integers(1, 9, size=(SETS, n_families))
    shape = (SETS, n_families, int(sizes.max()))
    shared = (SETS, n_families, 1)
    if kind == "heavy":
        effect = rng.standard_t(4, size=shared) / np.sqrt(2.0)
    elif kind == "skewed":
        effect = (rng.gamma(2.0, 1.0, size=shared) - 2.0) / np.sqrt(2.0)
    else:
        effect = rng.normal(size=shared)
    below = 4.0 + 0.7 * rng.normal(size=shared) + 0.5 * rng.normal(size=shape)
    if kind == "plain_mean":
        below = np.ones(shape)
    share = TRUTH + 0.25 * effect + 0.2 * rng.normal(size=shape)
    present = np.arange(shape[2]) < sizes[..., None]
    above, below = share * below * present, below * present
    return above.sum(-1), below.sum(-1), np.where(present, share, np.nan)


def coverage(kind: str, n_families: int) -> float:
    above, below, _ = simulate(kind, n_families)
    _, low, high = cluster_interval(above, below, Resampling(seed=1, draws=DRAWS))
    return float(((low <= TRUTH) & (high >= TRUTH)).mean())


@pytest.mark.parametrize("n_families", [8, 12, 30])
@pytest.mark.parametrize("kind", NORMAL)
def test_interval_covers_93_to_97_percent(kind: str, n_families: int) -> None:
    assert 0.93 <= coverage(kind, n_families) <= 0.97


@pytest.mark.parametrize(("n_families", "least"), [(8, 0.92), (12, 0.93), (30, 0.93)])
def test_strong_skew_costs_little(n_families: int, least: float) -> None:
    assert least <= coverage("skewed", n_families) <= 0.97


def test_plain_percentile_interval_would_cover_too_little() -> None:
    above, below, _ = simulate("unequal", 8)
    counts = draw_counts(8, DRAWS, 1).T
    low, high = np.quantile((above @ counts) / (below @ counts), [0.025, 0.975], axis=1)
    assert ((low <= TRUTH) & (high >= TRUTH)).mean() < 0.91


def test_resampling_instances_would_cover_far_too_little() -> None:
    above, below, share = simulate("unequal", 12)
    ratio = above.sum(1) / below.sum(1)
    flat = share.reshape(SETS, -1)
    error = np.nanstd(flat, axis=1) / np.sqrt((~np.isnan(flat)).sum(1))
    covered = np.abs(ratio - TRUTH) <= 1.96 * error
    assert covered.mean() < 0.85


def test_ends_are_near_the_analytic_interval_with_many_families() -> None:
    above, below, _ = simulate("equal", 30)
    value, low, high = cluster_interval(above, below, Resampling(seed=1, draws=DRAWS))
    spread = (above / below).std(axis=1, ddof=1) / np.sqrt(30.0)
    ratio = (high - low) / (2.0 * 2.045 * spread)
    assert np.allclose(value, above.sum(1) / below.sum(1))
    assert 0.95 < np.median(ratio) < 1.06
