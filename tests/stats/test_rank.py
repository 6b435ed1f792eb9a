import numpy as np
import pytest
from scipy import stats as scipy_stats

from pkv_interp.errors import PkvError
from pkv_interp.stats import jaccard_stability, rank_correlation, site_spearman
from pkv_interp.stats.bootstrap import expanded_percentile_ends
from pkv_interp.stats.clusters import draw_counts

FAMILIES = np.repeat(np.arange(10), 4).tolist()


def test_site_spearman_ranks_mean_effects() -> None:
    rng = np.random.default_rng(2)
    truth = np.linspace(0.0, 1.0, 30)
    exact = truth + 0.05 * rng.normal(size=(40, 30))
    screen = truth + 0.05 * rng.normal(size=(40, 30))
    found = site_spearman(screen, exact, FAMILIES)
    assert found.value == pytest.approx(scipy_stats.spearmanr(screen.mean(0), exact.mean(0))[0])
    assert found.ci_low is not None
    assert found.ci_low > 0.9
    assert site_spearman(screen, exact, ["one"] * 40).ci_low is None


def test_site_spearman_is_that_of_a_plain_loop_over_resampled_instances() -> None:
    rng = np.random.default_rng(6)
    x, y = rng.integers(-2, 3, size=(2, 40, 7)).astype(float)
    x[:, 5:] = 1.0  # two sites tie in every draw
    found = site_spearman(x, y, FAMILIES, draws=200, seed=7)
    drawn = []
    for counts in draw_counts(10, 200, 7).astype(int):
        rows = np.repeat(np.arange(40), counts[FAMILIES])
        drawn.append(_rho(x[rows].mean(0), y[rows].mean(0)))
    assert found.value == pytest.approx(_rho(x.mean(0), y.mean(0)), abs=1e-12)
    ends = expanded_percentile_ends(np.array(drawn), 10, 0.95)
    assert (found.ci_low, found.ci_high) == pytest.approx(ends, abs=1e-12)


def _rho(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's rho written out: the correlation of mid-ranks."""
    ranks = [((v[:, None] > v).sum(1) + (v[:, None] >= v).sum(1) + 1) / 2 for v in (x, y)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_a_draw_in_which_all_sites_tie_counts_as_zero() -> None:
    x = np.zeros((4, 3))
    x[0] = [1.0, 2.0, 3.0]
    # In draws without the first family all sites tie, and rho does not exist.
    assert site_spearman(x, x, list("abcd"), draws=200).ci_low == 0.0


def test_rank_correlation_with_ties_and_of_constants() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, size=40).astype(float)
    y = x + rng.normal(size=40)
    assert rank_correlation(x, y) == pytest.approx(_rho(x, y), abs=1e-12)
    assert rank_correlation(x, -(x**3)) == pytest.approx(-1.0)
    assert rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]) is None
    with pytest.raises(PkvError, match="same shape"):
        rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0])


def test_site_spearman_refuses() -> None:
    with pytest.raises(PkvError, match="constant"):
        site_spearman(np.ones((3, 4)), np.arange(12.0).reshape(3, 4), list("abc"))
    with pytest.raises(PkvError, match="2 sites"):
        site_spearman(np.ones((3, 2)), np.ones((3, 2)), list("abc"))
    with pytest.raises(PkvError, match="same shape"):
        site_spearman(np.ones((3, 4)), np.ones((3, 5)), list("abc"))


def test_jaccard_is_one_for_a_clear_set_and_low_for_noise() -> None:
    rng = np.random.default_rng(3)
    effects = 0.01 * rng.normal(size=(40, 50))
    effects[:, :5] += 1.0
    clear = jaccard_stability(effects, FAMILIES, k=5)
    assert (clear.value, clear.ci_low, clear.ci_high) == (1.0, 1.0, 1.0)
    assert (clear.n_families, clear.n_instances) == (10, 40)
    noise = jaccard_stability(rng.normal(size=(40, 50)), FAMILIES, k=5)
    assert noise.value < 0.6
    assert noise.ci_low is not None
    assert noise.ci_high is not None
    assert noise.ci_low < noise.value < noise.ci_high


def test_jaccard_equals_a_plain_loop() -> None:
    effects = np.random.default_rng(4).normal(size=(40, 12))
    found = jaccard_stability(effects, FAMILIES, k=3, draws=200, seed=9)
    full = set(np.argsort(-effects.mean(0))[:3].tolist())
    overlaps = []
    for counts in draw_counts(10, 200, 9).astype(int):
        rows = np.repeat(np.arange(40), counts[FAMILIES])
        top = set(np.argsort(-effects[rows].mean(0))[:3].tolist())
        overlaps.append(len(top & full) / len(top | full))
    assert found.value == pytest.approx(np.mean(overlaps), abs=1e-12)
    low, high = np.quantile(overlaps, [0.025, 0.975])
    assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-12)


def test_jaccard_by_magnitude_sees_negative_sites() -> None:
    effects = np.zeros((40, 6))
    effects[:, 2] = -1.0
    effects[:, 4] = 0.5
    effects += 0.001 * np.random.default_rng(5).normal(size=effects.shape)
    assert jaccard_stability(effects, FAMILIES, k=2, magnitude=True).value == 1.0
    assert jaccard_stability(effects, ["one"] * 40, k=2).ci_low is None
    with pytest.raises(PkvError, match=r"k in 1\.\.6"):
        jaccard_stability(effects, FAMILIES, k=7)
