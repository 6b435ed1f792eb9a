"""Probes read what was planted, in groups they never saw, and nothing where there is nothing."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from pkv_interp.measure.probes import commit_index, fit_probe, held_out_right, rotate, shuffle_within

GROUPS = [f"family{i // 8}" for i in range(64)]
LABELS = np.tile([True, False], 32)


def test_a_shared_direction_is_read_in_unseen_families() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 200)) + 3.0 * np.outer(LABELS, rng.normal(size=200))
    assert held_out_right(rotate(x).coordinates, LABELS, GROUPS, 4).mean() > 0.95


def test_a_direction_of_each_family_is_read_inside_it_and_not_in_others() -> None:
    rng = np.random.default_rng(0)
    own = np.repeat(rng.normal(size=(8, 200)), 8, axis=0)
    x = 0.3 * rng.normal(size=(64, 200)) + np.where(LABELS, 1.0, -1.0)[:, None] * own
    at = rotate(x).coordinates
    blocks = (np.arange(8) // 4).tolist()
    for name in dict.fromkeys(GROUPS):
        mine = np.array([g == name for g in GROUPS])
        assert held_out_right(at[mine], LABELS[mine], blocks, 2).all()
    assert held_out_right(at, LABELS, GROUPS, 8).mean() < 0.9


def test_rotation_changes_no_decision_and_its_weights_come_back() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 90)) * rng.uniform(0.5, 5, size=90)
    labels = x[:, 0] + x[:, 1] > 0
    rotated = rotate(x)
    probe = fit_probe(rotated.coordinates, labels)
    scaled = (x - x.mean(0)) / x.std(0) / np.sqrt(90)
    plain = LogisticRegression(max_iter=2000, tol=1e-8).fit(scaled, labels)
    assert probe.decision_function(rotated.coordinates) == pytest.approx(
        plain.decision_function(scaled), abs=1e-2
    )
    weights = probe.coef_[0] @ rotated.back
    assert (x - x.mean(0)) @ weights == pytest.approx(rotated.coordinates @ probe.coef_[0])


def test_shuffling_keeps_the_balance_of_every_block() -> None:
    blocks = np.repeat(np.arange(16), 4).tolist()
    shuffled = shuffle_within(LABELS, blocks, np.random.default_rng(1))
    assert shuffled.reshape(16, 4).sum(1).tolist() == [2] * 16
    assert 10 < (shuffled != LABELS).sum() < 54
    assert LABELS.tolist() == [True, False] * 32


def test_commitment_is_the_last_change_of_sign() -> None:
    margins = np.array(
        [[-1, 1, -1, 2, 3], [1, 1, 1, 1, 1], [1, 1, 1, 1, -1], [0, -1, -2, -1, -1]], dtype=float
    )
    assert commit_index(margins).tolist() == [3, 0, 4, 0]
