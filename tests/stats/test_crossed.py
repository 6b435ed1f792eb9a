"""Intervals over seeds and families: what they cover, and what one over families alone would."""

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats import Estimate, ratio_of_means
from pkv_interp.stats.crossed import ratio_over_seeds, sd_over_seeds, share_over_seeds

TRUTH, FAMILIES, INSTANCES = 0.6, 8, 2
NAMES = [f"f{i}" for i in range(FAMILIES) for _ in range(INSTANCES)]


def drawn(rng: np.random.Generator, seeds: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Numerators and denominators [seeds, instances]; seeds, families and both together have effects."""
    shape = (seeds, FAMILIES, INSTANCES)
    effect = spread * rng.normal(size=(seeds, 1, 1)) + 0.15 * rng.normal(size=(1, FAMILIES, 1))
    effect = effect + 0.1 * rng.normal(size=(seeds, FAMILIES, 1))
    below = 4.0 + 0.5 * rng.normal(size=shape)
    above = (TRUTH + effect + 0.1 * rng.normal(size=shape)) * below
    return above.reshape(seeds, -1), below.reshape(seeds, -1)


def covers(estimate: Estimate) -> bool:
    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    return estimate.ci_low <= TRUTH <= estimate.ci_high


@pytest.mark.parametrize(("seeds", "spread", "least"), [(3, 0.0, 0.92), (3, 0.2, 0.91), (6, 0.2, 0.92)])
def test_the_interval_covers_with_and_without_a_spread_of_seeds(
    seeds: int, spread: float, least: float
) -> None:
    rng = np.random.default_rng(5)
    found = [covers(ratio_over_seeds(*drawn(rng, seeds, spread), NAMES)) for _ in range(600)]
    assert least <= float(np.mean(found)) <= 0.99


def test_an_interval_over_families_alone_would_cover_too_little() -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(200):
        above, below = drawn(rng, 3, 0.2)
        found.append(covers(ratio_of_means(above.ravel(), below.ravel(), NAMES * 3, draws=200)))
    assert float(np.mean(found)) < 0.75


def test_seeds_that_agree_cost_no_width() -> None:
    above, below = drawn(np.random.default_rng(1), 1, 0.0)
    three = ratio_over_seeds(np.repeat(above, 3, 0), np.repeat(below, 3, 0), NAMES)
    one = ratio_of_means(above[0], below[0], NAMES)
    assert three.value == pytest.approx(one.value)
    assert three.ci_low is not None
    assert three.ci_high is not None
    assert one.ci_low is not None
    assert one.ci_high is not None
    assert three.ci_high - three.ci_low == pytest.approx(one.ci_high - one.ci_low, rel=0.3)


def test_one_seed_has_the_interval_of_every_other_figure() -> None:
    above, below = drawn(np.random.default_rng(2), 1, 0.0)
    assert ratio_over_seeds(above, below, NAMES, draws=300) == ratio_of_means(
        above[0], below[0], NAMES, draws=300
    )


def test_one_family_has_no_interval_however_many_seeds() -> None:
    found = ratio_over_seeds([[1.0, 2.0], [2.0, 2.0]], np.ones((2, 2)), ["a", "a"])
    assert (found.value, found.ci_low, found.n_families, found.n_instances) == (1.75, None, 1, 2)


def test_the_spread_of_seeds_is_the_deviation_of_their_ratios() -> None:
    above = np.array([[1.0, 3.0], [3.0, 5.0], [5.0, 7.0]])
    found = sd_over_seeds(above, np.full((3, 2), 2.0), ["a", "b"])
    assert found.value == pytest.approx(1.0)
    assert found.ci_low == pytest.approx(1.0)  # every family has the same spread
    assert (found.n_families, found.n_instances) == (2, 2)
    with pytest.raises(PkvError, match="one seed"):
        sd_over_seeds(above[:1], np.full((1, 2), 2.0), ["a", "b"])


def test_a_share_that_is_one_throughout_still_has_an_interval() -> None:
    found = share_over_seeds(np.ones((3, 8)), [f"f{i}" for i in range(8)])
    assert found.value == 1.0
    assert found.ci_low == pytest.approx(0.676, abs=1e-3)  # Wilson's for 8 of 8
    mixed = np.ones((3, 8))
    mixed[0, 0] = 0.0
    found = share_over_seeds(mixed, [f"f{i}" for i in range(8)])
    assert found.ci_high == 1.0
    assert found.ci_low is not None
    assert found.ci_low < found.value == pytest.approx(23 / 24)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(PkvError, match="pair them"):
        ratio_over_seeds(np.ones((2, 3)), np.ones((3, 2)), ["a"] * 3)
    with pytest.raises(PkvError, match="sum to zero"):
        ratio_over_seeds(np.ones((2, 2)), [[1.0, -1.0], [1.0, 1.0]], ["a", "b"])
