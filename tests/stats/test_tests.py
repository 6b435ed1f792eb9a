"""TOST, Holm, max-T and pairs, against known answers and by simulation."""

from itertools import product

import numpy as np
import pytest
from scipy import stats as scipy_stats

from pkv_interp.errors import PkvError
from pkv_interp.stats import holm, max_t, pairwise, tost


def test_tost_accepts_noise_and_refuses_effects() -> None:
    rng = np.random.default_rng(0)
    families = np.repeat(np.arange(12), 4).tolist()
    noise = 0.01 * rng.normal(size=48)
    assert tost(noise, families, floor=0.02).equivalent
    shifted = tost(noise + 0.05, families, floor=0.02)
    assert not shifted.equivalent
    assert shifted.p_value > 0.99
    assert not tost(noise, families, floor=0.0001).equivalent


def test_tost_matches_two_t_tests_on_family_means() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.4, size=10)
    found = tost(values, list(range(10)), floor=0.5)
    error = values.std(ddof=1) / np.sqrt(10)
    expected = scipy_stats.t.sf((0.5 - abs(values.mean())) / error, 9)
    assert found.p_value == pytest.approx(expected)


def test_tost_false_alarms_at_the_edge_stay_near_alpha() -> None:
    rng = np.random.default_rng(2)
    families = list(range(12))
    hits = [
        tost(0.5 + 0.2 * rng.normal(size=12), families, floor=0.5, draws=500).equivalent for _ in range(600)
    ]
    assert np.mean(hits) < 0.07


def test_tost_of_identical_arms() -> None:
    assert tost(np.zeros(6), list("abcdef"), floor=1e-6).equivalent
    assert not tost(np.ones(6), list("abcdef"), floor=0.5).equivalent


@pytest.mark.parametrize(("families", "floor", "cause"), [("ab", 0.0, "floor"), ("aa", 0.1, "single family")])
def test_tost_refuses(families: str, floor: float, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        tost([0.0, 0.1], list(families), floor=floor)


def test_holm_known_answer() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    with pytest.raises(PkvError, match="outside"):
        holm([1.2])


def test_max_t_finds_the_real_site_and_only_it() -> None:
    rng = np.random.default_rng(3)
    families = np.repeat(np.arange(12), 3).tolist()
    effects = rng.normal(size=(36, 20)) + 0.5 * np.repeat(rng.normal(size=(12, 20)), 3, axis=0)
    effects[:, 7] += 3.0
    found = max_t(effects, families)
    assert found.exact
    assert found.draws == 4096
    assert found.p_values[7] == pytest.approx(2 / 4096)
    assert np.delete(found.p_values, 7).min() > 0.05


def test_max_t_of_one_site_is_the_sign_flip_test() -> None:
    values = np.random.default_rng(4).normal(0.5, 1.0, size=8)

    def t(x: np.ndarray) -> float:
        return abs(x.mean() / (x.std(ddof=1) / np.sqrt(8)))

    flips = [t(values * np.array(s)) for s in product((1, -1), repeat=8)]
    expected = np.mean(np.array(flips) >= t(values) - 1e-9)
    found = max_t(values[:, None], list(range(8)))
    assert found.p_values[0] == pytest.approx(expected)
    assert abs(found.statistic[0]) == pytest.approx(t(values))


def test_max_t_holds_the_family_wise_error() -> None:
    rng = np.random.default_rng(5)
    families = np.repeat(np.arange(8), 2).tolist()
    rejections = 0
    for _ in range(300):
        effects = np.repeat(rng.normal(size=(8, 10)), 2, axis=0) + 0.5 * rng.normal(size=(16, 10))
        rejections += bool(max_t(effects, families).p_values.min() < 0.05)
    assert rejections / 300 < 0.085


def test_max_t_by_random_signs_is_seeded() -> None:
    effects = np.random.default_rng(6).normal(size=(16, 3)) + 0.6
    families = list(range(16))
    first = max_t(effects, families, draws=999, seed=1)
    assert not first.exact
    assert first.draws == 999
    assert first.p_values.tolist() == max_t(effects, families, draws=999, seed=1).p_values.tolist()
    exact = max_t(effects, families, draws=2**16).p_values
    assert np.abs(first.p_values - exact).max() < 0.06


def test_max_t_with_constant_and_zero_sites() -> None:
    effects = np.column_stack([np.zeros(6), np.ones(6), [1.0, -1.0] * 3])
    p_values = max_t(effects, list("abcdef")).p_values
    assert p_values[0] == 1.0
    # Two of the 64 patterns give the second site its statistic, two others give it to the third.
    assert p_values[1] == pytest.approx(4 / 64)
    with pytest.raises(PkvError, match="single family"):
        max_t(effects, ["a"] * 6)


def test_pairwise_compares_every_pair_with_holm() -> None:
    rng = np.random.default_rng(7)
    families = np.repeat(np.arange(10), 3).tolist()
    base = rng.normal(size=30)
    arms = {
        "stale": base,
        "same": base + 0.01 * rng.normal(size=30),
        "better": base + 1.0 + 0.1 * rng.normal(size=30),
    }
    pairs = {(p.first, p.second): p for p in pairwise(arms, families, denominator=np.full(30, 2.0))}
    assert set(pairs) == {("stale", "same"), ("stale", "better"), ("same", "better")}
    assert pairs[("stale", "better")].difference.value == pytest.approx(-0.5, abs=0.03)
    assert pairs[("stale", "better")].p_holm < 1e-6
    assert pairs[("stale", "same")].p_holm > 0.05
    assert all(p.p_holm >= p.p_value for p in pairs.values())


def test_pairwise_refuses() -> None:
    with pytest.raises(PkvError, match="1 arm"):
        pairwise({"a": [1.0]}, ["x"])
    with pytest.raises(PkvError, match="single family"):
        pairwise({"a": [1.0, 2.0], "b": [0.0, 0.0]}, ["x", "x"])
