"""Slopes with known answers."""

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats.slopes import slope


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
