import numpy as np
import pytest
from scipy import stats as scipy_stats

from pkv_interp.errors import PkvError
from pkv_interp.stats import jaccard_stability, site_spearman, spearman
from pkv_interp.stats.clusters import draw_counts
from pkv_interp.stats.rank import _correlation, _weighted_ranks

FAMILIES = np.repeat(np.arange(10), 4).tolist()


def test_spearman_value_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 6, size=40).astype(float)
    y = x + rng.normal(size=40)
    found = spearman(x, y, FAMILIES)
    assert found.value == pytest.approx(scipy_stats.spearmanr(x, y)[0])
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert 0.3 < found.ci_low < found.value < found.ci_high <= 1.0


def test_every_draw_is_spearman_of_the_repeated_sample() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 5, size=40).astype(float), rng.normal(size=40)
    weights = draw_counts(10, 100, 7)[:, FAMILIES]
    drawn = _correlation(_weighted_ranks(x, weights), _weighted_ranks(y, weights), weights)
    for row, value in zip(weights[:20].astype(int), drawn, strict=False):
        again = scipy_stats.spearmanr(np.repeat(x, row), np.repeat(y, row))[0]
        assert value == pytest.approx(again, abs=1e-12)


def test_perfect_order_and_one_family() -> None:
    x = np.arange(40.0)
    found = spearman(x, x**3, FAMILIES)
    assert (found.value, found.ci_high) == (pytest.approx(1.0), pytest.approx(1.0))
    assert spearman(x, -x, ["one"] * 40).ci_low is None


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


def test_rank_correlation_refuses() -> None:
    with pytest.raises(PkvError, match="constant"):
        spearman([1.0, 1.0, 1.0], [1.0, 2.0, 3.0], list("abc"))
    with pytest.raises(PkvError, match="same shape"):
        spearman([1.0, 1.0, 1.0], [1.0, 2.0], list("abc"))
    with pytest.raises(PkvError, match="2 points"):
        spearman([1.0, 2.0], [1.0, 2.0], list("ab"))


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
    assert found.value == pytest.approx(np.mean(overlaps))


def test_jaccard_by_magnitude_sees_negative_sites() -> None:
    effects = np.zeros((40, 6))
    effects[:, 2] = -1.0
    effects[:, 4] = 0.5
    effects += 0.001 * np.random.default_rng(5).normal(size=effects.shape)
    assert jaccard_stability(effects, FAMILIES, k=2, magnitude=True).value == 1.0
    assert jaccard_stability(effects, ["one"] * 40, k=2).ci_low is None
    with pytest.raises(PkvError, match=r"k in 1\.\.6"):
        jaccard_stability(effects, FAMILIES, k=7)
