"""Slopes with known answers."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.slopes import exponent, slope


def test_a_line_has_its_slope_and_noise_around_it_the_least_squares_one() -> None:
    x = [0.0, 1.0, 2.0, 5.0]
    assert slope(x, [3.0 - 2.0 * v for v in x]) == pytest.approx(-2.0)
    y = np.array([0.3, 1.9, 1.0, 4.4])
    assert slope(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])


@pytest.mark.parametrize(
    ("x", "y", "cause"),
    [
        ([1.0, 1.0], [0.0, 2.0], "over a constant"),
        ([1.0, 2.0], [0.0], "2 points and y 1"),
        ([1.0, 2.0], [0.0, float("nan")], "not finite"),
    ],
)
def test_a_slope_that_does_not_exist_is_refused(x: list[float], y: list[float], cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        slope(x, y)


def test_a_power_law_has_its_exponent_and_scatter_widens_the_interval() -> None:
    x = np.array([256.0, 512.0, 1024.0, 2048.0, 4096.0])
    exact = exponent(x, 3.0 * x**1.25)
    assert exact.value == pytest.approx(1.25)
    assert exact.ci_low == pytest.approx(1.25)
    assert exact.ci_high == pytest.approx(1.25)
    noisy = exponent(x, 3.0 * x**1.25 * np.array([1.1, 0.9, 1.05, 0.95, 1.1]))
    log_x, log_y = np.log(x), np.log(3.0 * x**1.25 * np.array([1.1, 0.9, 1.05, 0.95, 1.1]))
    fit: Any = stats.linregress(log_x, log_y)
    half = stats.t.ppf(0.975, 3) * fit.stderr
    assert noisy.value == pytest.approx(fit.slope)
    assert (noisy.ci_low, noisy.ci_high) == pytest.approx((fit.slope - half, fit.slope + half))
    assert exponent(x[:2], x[:2]).ci_low is None


def test_an_exponent_of_zero_is_refused() -> None:
    with pytest.raises(PkvError, match="not positive"):
        exponent([1.0, 2.0], [0.0, 1.0])
