"""Rankings, random controls, and screens, on numbers with known answers."""

import numpy as np
import pytest

from pkv_interp.measure.heads import random_heads_like, top_heads
from pkv_interp.measure.ranking import pooled_effect, rank_heads, rank_labels
from pkv_interp.stats.agreement import agreement


def test_pooled_effect_is_a_ratio_of_means() -> None:
    patched = np.array([[[1.0, 0.0]], [[5.0, 2.0]]])
    # moved: (1-0) + (5-2) = 4 and 0 + 0; gaps 2 + 6
    assert pooled_effect(patched, np.array([0.0, 2.0]), np.array([2.0, 8.0])) == pytest.approx(
        np.array([[0.5, 0.0]])
    )


def test_heads_are_ranked_by_signed_effect() -> None:
    effect = np.array([[0.1, -0.9], [0.5, 0.3]])
    assert rank_heads(effect) == [(1, 0), (1, 1), (0, 0), (0, 1)]
    assert top_heads(effect, 1) == [(1, 0)]


def test_random_heads_come_from_the_same_layers_and_avoid_the_set() -> None:
    chosen = [(3, 1), (3, 2), (7, 0)]
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = random_heads_like(chosen, 9, rng)
        assert sorted(la for la, _ in drawn) == [3, 3, 7]
        assert not set(drawn) & set(chosen)
        assert len(set(drawn)) == 3


def test_a_crowded_layer_borrows_from_the_nearest_one_and_never_from_the_set() -> None:
    chosen = [(4, h) for h in range(7)] + [(5, 0), (9, 0)]
    for seed in range(20):
        drawn = random_heads_like(chosen, 9, np.random.default_rng(seed))
        assert not set(drawn) & set(chosen)
        assert len(set(drawn)) == len(chosen)
        assert sum(la == 4 for la, _ in drawn) == 2
        assert sum(la == 5 for la, _ in drawn) == 6
    assert len(random_heads_like([(0, h) for h in range(7)], 9, np.random.default_rng(0))) == 2


def test_labels_are_ranked_by_their_mean_and_rare_ones_left_out() -> None:
    labels = [["a", "b", "b"], ["a", "b", "c"], ["a", "b", "b"]]
    effects = [np.array([1.0, 0.0, 2.0]), np.array([1.0, 3.0, 9.0]), np.array([1.0, 2.0, 2.0])]
    ranked = rank_labels(labels, effects, [2.0, 2.0, 2.0])
    assert ranked == [("b", pytest.approx((1 + 3 + 2) / 6)), ("a", pytest.approx(0.5))]


def test_agreement_of_equal_and_of_reversed_effects() -> None:
    exact = np.linspace(-1, 2, 40)
    same = agreement(exact, exact, 12)
    assert (same.rank_correlation, same.relative_error, same.overlap) == (pytest.approx(1.0), 0.0, 1.0)
    reverse = agreement(-exact, exact, 12)
    assert reverse.rank_correlation == pytest.approx(-1.0)
    assert reverse.overlap == 0.0
    assert agreement(np.zeros(40), exact).rank_correlation is None
