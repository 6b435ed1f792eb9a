import numpy as np
import pytest
from pydantic import ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.stats import Estimate, difference, mean, ratio_of_means, ratios_of_means

FAMILIES = [f"family {i}" for i in range(8) for _ in range(3)]


@pytest.fixture
def arms() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    below = 4.0 + rng.normal(size=24)
    return 0.7 * below + 0.3 * rng.normal(size=24), below


def test_value_is_the_ratio_of_means_not_the_mean_of_ratios(arms: tuple[np.ndarray, np.ndarray]) -> None:
    above, below = arms
    found = ratio_of_means(above, below, FAMILIES)
    assert found.value == pytest.approx(above.mean() / below.mean())
    assert found.value != pytest.approx((above / below).mean(), abs=1e-4)
    assert (found.n_families, found.n_instances) == (8, 24)
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < found.value < found.ci_high


def test_seed_fixes_the_interval_and_moves_it(arms: tuple[np.ndarray, np.ndarray]) -> None:
    above, below = arms
    first = ratio_of_means(above, below, FAMILIES, seed=1)
    assert first == ratio_of_means(above, below, FAMILIES, seed=1)
    assert first != ratio_of_means(above, below, FAMILIES, seed=2)


def test_order_of_instances_does_not_matter(arms: tuple[np.ndarray, np.ndarray]) -> None:
    above, below = arms
    order = np.random.default_rng(0).permutation(24)
    shuffled = ratio_of_means(above[order], below[order], [FAMILIES[i] for i in order])
    found = ratio_of_means(above, below, FAMILIES)
    assert shuffled.value == pytest.approx(found.value, rel=1e-12)
    assert shuffled.ci_low == pytest.approx(found.ci_low, rel=1e-9)


def test_families_are_the_unit_of_resampling() -> None:
    values = np.repeat([0.0, 1.0, 0.0, 1.0, 0.0, 1.0], 20)
    clustered = mean(values, np.repeat(np.arange(6), 20).tolist())
    as_if_independent = mean(values, list(range(120)))
    width = [
        e.ci_high - e.ci_low for e in (clustered, as_if_independent) if e.ci_low is not None and e.ci_high
    ]
    assert width[0] > 4.0 * width[1]


def test_many_sites_equal_one_by_one(arms: tuple[np.ndarray, np.ndarray]) -> None:
    above, below = arms
    sites = np.column_stack([above, 2.0 * above, above - below])
    together = ratios_of_means(sites, below, FAMILIES, seed=4)
    for column, found in zip(sites.T, together, strict=True):
        alone = ratio_of_means(column, below, FAMILIES, seed=4)
        assert found.value == pytest.approx(alone.value, abs=1e-12)
        assert found.ci_low == pytest.approx(alone.ci_low, abs=1e-9)
        assert found.ci_high == pytest.approx(alone.ci_high, abs=1e-9)


def test_identity_has_an_interval_of_zero_width() -> None:
    below = np.linspace(1.0, 5.0, 24)
    assert ratio_of_means(below, below, FAMILIES) == Estimate(
        value=1.0, ci_low=1.0, ci_high=1.0, n_families=8, n_instances=24
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_unanimous_share_keeps_an_interval_of_as_many_trials_as_families(value: float) -> None:
    found = mean(np.full(24, value), FAMILIES, bounds=(0.0, 1.0))
    far = 1.96**2 / (8 + 1.96**2)  # the far end of Wilson's interval at 0 of 8
    want = (0.0, far) if value == 0.0 else (1.0 - far, 1.0)
    assert (found.ci_low, found.ci_high) == pytest.approx(want, abs=1e-4)


@pytest.mark.parametrize("n_families", [2, 3, 4, 12])
def test_one_odd_family_gives_a_wide_but_finite_interval(n_families: int) -> None:
    values = np.zeros(n_families)
    values[0] = 1.0
    found = mean(values, list(range(n_families)))
    assert found.ci_low is not None
    assert found.ci_high is not None
    assert found.ci_low < 0.0 < found.value < found.ci_high
    assert found.ci_high - found.value <= 1.5 * 12.71 * found.value


def test_single_family_has_no_interval() -> None:
    found = mean([1.0, 2.0], ["only", "only"])
    assert found == Estimate(value=1.5, n_families=1, n_instances=2)
    assert "no interval" in str(found)


def test_difference_is_paired_on_instances() -> None:
    rng = np.random.default_rng(5)
    level = 10.0 * rng.normal(size=24)
    found = difference(level + 1.0, level, FAMILIES)
    assert found.value == pytest.approx(1.0)
    assert found.ci_low == pytest.approx(1.0)
    halved = difference(level + 1.0, level, FAMILIES, denominator=np.full(24, 2.0))
    assert halved.value == pytest.approx(0.5)


def test_wider_level_gives_wider_interval(arms: tuple[np.ndarray, np.ndarray]) -> None:
    narrow = ratio_of_means(*arms, FAMILIES, level=0.9)
    wide = ratio_of_means(*arms, FAMILIES, level=0.99)
    assert narrow.ci_low is not None
    assert wide.ci_low is not None
    assert wide.ci_low < narrow.ci_low


@pytest.mark.parametrize(
    ("above", "below", "families", "cause"),
    [
        ([1.0, 2.0], [1.0, -1.0], ["a", "b"], "sum to zero"),
        ([1.0, float("nan")], [1.0, 1.0], ["a", "b"], r"not finite at index \[1\]"),
        ([1.0, 2.0], [1.0], ["a", "b"], "2 numerators and 1 denominators"),
        ([1.0, 2.0], [1.0, 1.0], ["a"], "1 family names were given for 2"),
        ([], [], [], "shape"),
    ],
)
def test_bad_input_is_refused(
    above: list[float], below: list[float], families: list[str], cause: str
) -> None:
    with pytest.raises(PkvError, match=cause):
        ratio_of_means(above, below, families)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(PkvError, match="level"):
        mean([1.0, 2.0], ["a", "b"], level=95.0)
    with pytest.raises(PkvError, match="10 bootstrap draws"):
        mean([1.0, 2.0], ["a", "b"], draws=10)
    with pytest.raises(PkvError, match="pair the arms"):
        difference([1.0], [1.0, 2.0], ["a"])


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"ci_low": 0.1}, "both"),
        ({"ci_low": 0.3, "ci_high": 0.1}, "above"),
        ({}, "no interval"),
        ({"ci_low": 0.1, "ci_high": 0.3, "n_instances": 2}, "cannot come from"),
        ({"ci_low": float("nan"), "ci_high": 0.3}, "finite"),
    ],
)
def test_estimate_refuses_what_cannot_be(fields: dict[str, float], cause: str) -> None:
    with pytest.raises(ValidationError, match=cause):
        Estimate.model_validate({"value": 0.2, "n_families": 3, "n_instances": 9} | fields)


def test_the_interval_of_a_bounded_mean_is_cut_at_its_bounds() -> None:
    values, families = [1.0] * 11 + [0.01], [f for f in "abcdef" for _ in range(2)]
    wide, cut = mean(values, families), mean(values, families, bounds=(0.0, 1.0))
    assert wide.ci_high is not None
    assert wide.ci_high > 1.0
    assert (cut.value, cut.ci_low, cut.ci_high) == (wide.value, wide.ci_low, 1.0)
