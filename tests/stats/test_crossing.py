"""The first place at which a curve reaches a level."""

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats import first_crossing

FAMILIES = [f"f{i // 2}" for i in range(16)]
PLACES = [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_clear_step_is_found_with_a_narrow_interval() -> None:
    curves = np.tile([0.0, 0.0, 0.5, 0.5, 0.5], (16, 1))
    found = first_crossing(curves, PLACES, FAMILIES, 0.3)
    assert found is not None
    assert (found.value, found.ci_low, found.ci_high) == (0.5, 0.5, 0.5)
    assert (found.n_families, found.n_instances) == (8, 16)


def test_families_that_differ_widen_it() -> None:
    early, late = [0.0, 0.6, 0.6, 0.6, 0.6], [0.0, 0.0, 0.0, 0.6, 0.6]
    curves = np.array([early if i % 4 < 2 else late for i in range(16)])
    found = first_crossing(curves, PLACES, FAMILIES, 0.4)
    assert found is not None
    assert found.value == 0.75
    assert found.ci_low == 0.25
    assert found.ci_high == 0.75


def test_no_crossing_is_none_and_the_level_itself_counts() -> None:
    curves = np.tile([0.0, 0.1, 0.2, 0.3, 0.3], (16, 1))
    assert first_crossing(curves, PLACES, FAMILIES, 0.31) is None
    reached = first_crossing(curves, PLACES, FAMILIES, 0.3)
    assert reached is not None
    assert reached.value == 0.75


def test_one_family_has_no_interval_and_places_must_fit() -> None:
    found = first_crossing(np.ones((2, 5)), PLACES, ["a", "a"], 0.5)
    assert found is not None
    assert (found.value, found.ci_low) == (0.0, None)
    with pytest.raises(PkvError, match="one per column"):
        first_crossing(np.ones((2, 4)), PLACES, ["a", "a"], 0.5)
