"""Geometric means of ratios."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from pkv_interp.errors import PkvError
from pkv_interp.stats.repeats import ratio_over_repeats


def test_the_interval_is_students_on_logs() -> None:
    ratios = [8.0, 10.0, 13.0]
    found = ratio_over_repeats(ratios)
    low, high = stats.t.interval(0.95, 2, np.mean(np.log(ratios)), stats.sem(np.log(ratios)))
    assert found.value == pytest.approx(stats.gmean(ratios))
    assert (found.ci_low, found.ci_high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))
    assert (found.n_families, found.n_instances) == (1, 3)
    turned = ratio_over_repeats([1 / ratio for ratio in ratios])
    assert turned.value == pytest.approx(1 / found.value)


def test_one_repeat_has_no_interval() -> None:
    found = ratio_over_repeats([2.0])
    assert (found.value, found.ci_low) == (pytest.approx(2.0), None)


@pytest.mark.parametrize("ratios", [[], [1.0, 0.0], [1.0, float("nan")]])
def test_ratios_without_logarithms(ratios: list[float]) -> None:
    with pytest.raises(PkvError):
        ratio_over_repeats(ratios)
