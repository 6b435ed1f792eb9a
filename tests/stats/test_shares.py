"""Differences of two shares, and what is said where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats import difference
from pkv_interp.stats.intervals import wilson_ends
from pkv_interp.stats.shares import share_difference

FAMILIES = [f"family {i}" for i in range(8) for _ in range(3)]


def test_where_some_differ_it_is_the_difference_by_family() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 2, 24).astype(bool) for _ in range(2))
    found = share_difference(one, other, FAMILIES, draws=500)
    plain = difference(one.astype(float), other.astype(float), FAMILIES, draws=500)
    assert found.value == plain.value
    assert plain.ci_low is not None
    assert plain.ci_high is not None
    assert (found.ci_low, found.ci_high) == (max(plain.ci_low, -1.0), min(plain.ci_high, 1.0))


def test_where_none_differs_the_interval_is_that_of_as_many_families() -> None:
    same = np.arange(24) % 2
    found = share_difference(same, same, FAMILIES, draws=500)
    top = wilson_ends(0, 8, 0.95)[1]
    assert (found.value, found.ci_low, found.ci_high) == (0.0, -top, top)
    more = share_difference(same, same, list(range(24)), draws=500)
    assert more.ci_high is not None
    assert 0.0 < more.ci_high < top
    turned = np.array([1, 0, 1] * 8)
    other = np.array([0, 1, 1] * 8)
    within = share_difference(turned, other, FAMILIES, draws=500)
    low, high = wilson_ends(16 / 3, 8, 0.95)
    assert (within.value, within.ci_low, within.ci_high) == (0.0, pytest.approx(-high), pytest.approx(high))
    third, none = np.array([1, 0, 0] * 8), np.zeros(24)
    for one, two, sign in ((third, none, 1.0), (none, third, -1.0)):
        found = share_difference(one, two, FAMILIES, draws=500)
        low, high = wilson_ends(8 / 3, 8, 0.95)
        assert found.value == pytest.approx(sign / 3)
        assert [found.ci_low, found.ci_high] == pytest.approx(sorted([sign * low, sign * high]))
    alone = share_difference(same, same, ["one"] * 24)
    assert (alone.value, alone.ci_low, alone.ci_high) == (0.0, None, None)


@pytest.mark.parametrize(
    ("second", "words"), [([1.0], "the arms have 2 and 1"), ([1.0, 0.5], "neither right nor wrong")]
)
def test_what_is_no_pair_of_shares_is_refused(second: list[float], words: str) -> None:
    with pytest.raises(PkvError, match=words):
        share_difference([1.0, 0.0], second, ["a", "b"])
