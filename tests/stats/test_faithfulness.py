import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats.faithfulness import faithfulness

FAMILIES = np.repeat(np.arange(8), 3).tolist()
RNG = np.random.default_rng(0)
EMPTY = RNG.normal(-3.0, 0.3, size=24)
FULL = RNG.normal(5.0, 0.5, size=24)


def between(shares: np.ndarray) -> np.ndarray:
    """Scores that go from empty to full in proportion to ``shares``."""
    return EMPTY[:, None] + shares[None] * (FULL - EMPTY)[:, None]


def _area(x: np.ndarray, y: np.ndarray) -> float:
    """The trapezoid rule, written out."""
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum())


def test_line_has_area_one_half() -> None:
    sizes = np.array([0.1, 0.25, 0.5, 0.8])
    found = faithfulness(sizes.tolist(), between(sizes), EMPTY, FULL, FAMILIES)
    assert found.shares == (0.0, 0.1, 0.25, 0.5, 0.8, 1.0)
    assert [p.value for p in found.curve] == pytest.approx(list(found.shares))
    assert found.area.value == pytest.approx(0.5)
    assert found.distance.value == pytest.approx(0.5)
    assert found.area.ci_low == pytest.approx(0.5)


def test_perfect_small_circuit_has_distance_near_zero() -> None:
    sizes = [0.001, 0.5]
    found = faithfulness(sizes, between(np.ones(2)), EMPTY, FULL, FAMILIES)
    assert found.area.value == pytest.approx(0.9995)
    assert found.distance.value == pytest.approx(0.0005)


def test_overshoot_raises_the_area_and_the_distance() -> None:
    found = faithfulness([0.0, 0.5, 1.0], between(np.array([0.0, 2.0, 1.0])), EMPTY, FULL, FAMILIES)
    assert found.area.value == pytest.approx(1.25)
    assert found.distance.value == pytest.approx(0.75)


def test_area_is_the_trapezoid_of_the_curve_and_has_an_interval() -> None:
    sizes = np.array([0.1, 0.3, 0.6])
    scores = between(sizes**0.5) + RNG.normal(size=(24, 3))
    found = faithfulness(sizes.tolist(), scores, EMPTY, FULL, FAMILIES, seed=2)
    curve = np.array([p.value for p in found.curve])
    x = np.array(found.shares)
    assert found.curve[1].value == pytest.approx(
        (scores[:, 0].mean() - EMPTY.mean()) / (FULL.mean() - EMPTY.mean())
    )
    assert found.area.value == pytest.approx(_area(x, curve), abs=1e-12)
    assert found.distance.value == pytest.approx(_area(x, abs(1.0 - curve)), abs=1e-12)
    for estimate in (found.area, found.distance, found.curve[2]):
        assert estimate.ci_low is not None
        assert estimate.ci_high is not None
        assert estimate.ci_low < estimate.value < estimate.ci_high
    assert found == faithfulness(sizes.tolist(), scores, EMPTY, FULL, FAMILIES, seed=2)


def test_one_family_has_no_interval() -> None:
    found = faithfulness([0.5], between(np.array([0.7])), EMPTY, FULL, ["one"] * 24)
    assert found.area.ci_low is None
    assert found.distance.ci_high is None


@pytest.mark.parametrize("shares", [[0.5, 0.1], [0.1, 0.1], [-0.1, 0.5], [0.5, 1.5]])
def test_shares_out_of_order(shares: list[float]) -> None:
    with pytest.raises(PkvError, match="do not rise"):
        faithfulness(shares, between(np.array(shares)), EMPTY, FULL, FAMILIES)


def test_shapes_and_equal_ends() -> None:
    with pytest.raises(PkvError, match="do not fit"):
        faithfulness([0.5, 0.6], between(np.array([0.5])), EMPTY, FULL, FAMILIES)
    with pytest.raises(PkvError, match="sum to zero"):
        faithfulness([0.5], np.ones((24, 1)), np.ones(24), np.ones(24), FAMILIES)
