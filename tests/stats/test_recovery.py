import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.stats import ratio_of_means
from pkv_interp.stats.recovery import recovery, recovery_by_site

FAMILIES = list("aabbccdd")
CLEAN = np.array([4.0, 5.0, 3.0, 6.0, 0.05, 4.0, 5.0, 2.0])
CORRUPT = np.array([-4.0, -3.0, -5.0, -2.0, 0.0, -4.0, -1.0, -2.0])


def test_identities() -> None:
    full = recovery(CLEAN, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1).estimate
    none = recovery(CORRUPT, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1).estimate
    assert (full.value, full.ci_low, full.ci_high) == (1.0, 1.0, 1.0)
    assert (none.value, none.ci_low, none.ci_high) == (0.0, 0.0, 0.0)


def test_near_ties_are_left_out_and_counted() -> None:
    patched = CORRUPT + 0.5 * (CLEAN - CORRUPT)
    patched[4] = 100.0
    found = recovery(patched, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1)
    assert found.estimate.value == pytest.approx(0.5)
    assert (found.n_excluded, found.estimate.n_instances, found.estimate.n_families) == (1, 7, 4)
    assert np.isnan(found.per_instance[4])
    assert found.per_instance[found.kept].tolist() == pytest.approx([0.5] * 7)


def test_ratio_of_means_over_the_kept_instances() -> None:
    patched = CORRUPT + np.random.default_rng(0).normal(1.0, 1.0, size=8)
    found = recovery(patched, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1, seed=3)
    keep = np.arange(8) != 4
    expected = ratio_of_means(
        (patched - CORRUPT)[keep],
        (CLEAN - CORRUPT)[keep],
        [f for f, k in zip(FAMILIES, keep, strict=True) if k],
        seed=3,
    )
    assert found.estimate == expected


def test_not_clipped() -> None:
    beyond = recovery(CLEAN + 2.0, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1).estimate
    assert beyond.value > 1.0
    assert recovery(CORRUPT - 2.0, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1).estimate.value < 0.0


def test_many_arms_equal_one_by_one() -> None:
    patched = CORRUPT[:, None] + np.random.default_rng(1).normal(size=(8, 3))
    together = recovery_by_site(patched, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1)
    for column, found in zip(patched.T, together, strict=True):
        alone = recovery(column, CLEAN, CORRUPT, FAMILIES, noise_floor=0.1)
        assert found.estimate.value == pytest.approx(alone.estimate.value, abs=1e-12)
        np.testing.assert_allclose(found.per_instance, alone.per_instance)


@pytest.mark.parametrize(
    ("patched", "families", "floor", "cause"),
    [
        (CLEAN[:3], FAMILIES, 0.1, "3 patched, 8 clean"),
        (CLEAN, FAMILIES[:3], 0.1, "3 family names"),
        (CLEAN, FAMILIES, 100.0, "no instance has clean and corrupt margins more than 100.0 apart"),
        (CLEAN, FAMILIES, -1.0, "noise floor is -1.0"),
        (CLEAN * np.nan, FAMILIES, 0.1, "not finite"),
    ],
)
def test_bad_input(patched: np.ndarray, families: list[str], floor: float, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        recovery(patched, CLEAN, CORRUPT, families, noise_floor=floor)
