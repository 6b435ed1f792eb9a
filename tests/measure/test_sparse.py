"""The sparse coder learns planted features, decodes what they carry, and its clamps do what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pkv_interp.measure.sparse import SparseCoder, auc_by_family, encode, rank_features, train_coder

PROMPTS, PLACES, WIDTH, PLANTED = 120, 2, 24, 6
FIRST = np.tile([True, False], PROMPTS // 2)


@pytest.fixture(scope="module")
def residuals() -> np.ndarray:
    """Six sparse planted directions; the first is on where the conclusion is the first one."""
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(rng.normal(size=(WIDTH, PLANTED)))[0].T
    on = rng.random((PROMPTS, PLACES, PLANTED)) < 0.3
    on[:, :, 0] = FIRST[:, None]
    return on * rng.uniform(1, 2, on.shape) @ directions + 0.01 * rng.normal(size=(PROMPTS, PLACES, WIDTH))


def samples(residuals: np.ndarray) -> np.ndarray:
    """One residual vector a row."""
    return residuals.reshape(-1, WIDTH)


@pytest.fixture(scope="module")
def coder(residuals: np.ndarray) -> SparseCoder:
    return train_coder(samples(residuals), features=48, k=6, steps=400, seed=0)


def test_training_explains_held_out_variance(coder: SparseCoder, residuals: np.ndarray) -> None:
    untrained = train_coder(samples(residuals), features=48, k=6, steps=0, seed=0)
    assert coder.unexplained(residuals) < 0.2 < untrained.unexplained(residuals)
    assert ((coder.codes(residuals) > 0).sum(-1) <= 6).all()
    assert np.linalg.norm(coder.decoder, axis=1) == pytest.approx(np.ones(48), abs=1e-5)


def test_what_tells_places_apart_is_no_variance_that_is_explained(
    coder: SparseCoder, residuals: np.ndarray
) -> None:
    apart = residuals + np.array([[5.0], [-5.0]])
    knows_places = replace(
        coder,
        centre=np.zeros(WIDTH),
        scale=1.0,
        encoder=np.stack([np.ones(WIDTH), -np.ones(WIDTH)]).astype(np.float32),
        bias=np.zeros(2, np.float32),
        decoder=np.stack([np.ones(WIDTH), -np.ones(WIDTH)]).astype(np.float32) / WIDTH,
        k=1,
    )
    assert knows_places.unexplained(apart) > 0.9
    assert knows_places.unexplained(apart.reshape(-1, 1, WIDTH)) < 0.05  # as if all stood at one place


def test_the_same_seed_gives_the_same_coder(residuals: np.ndarray) -> None:
    one, two, other = (train_coder(samples(residuals), features=16, k=4, steps=5, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.decoder, two.decoder)
    assert not np.array_equal(one.decoder, other.decoder)


def test_a_feature_decodes_the_planted_conclusion(coder: SparseCoder, residuals: np.ndarray) -> None:
    families = [f"family{i // 40}" for i in range(PROMPTS)]
    untrained = train_coder(samples(residuals), features=48, k=6, steps=0, seed=0)
    found, before = (
        auc_by_family(one.codes(residuals).sum(1), FIRST, families) for one in (coder, untrained)
    )
    assert found.shape == (3, 48)
    # Several features share the planted one, so that the best of them alone stays short of a perfect area.
    best, start = (np.abs(areas.mean(0) - 0.5).max() for areas in (found, before))
    assert best > 0.4
    assert best > start + 0.05


def test_areas_are_those_of_pairs() -> None:
    scores = np.array([[2.0, 0.0], [1.0, 0.0], [3.0, 0.0], [1.0, 0.0]])
    found = auc_by_family(scores, np.array([True, False, True, False]), ["a"] * 4)
    assert found.tolist() == [[1.0, 0.5]]
    turned = auc_by_family(scores, np.array([False, True, True, False]), ["a"] * 4)
    assert turned[0, 0] == (0 + 0.5 + 1 + 1) / 4


def test_a_clamp_moves_along_its_decoder_rows_alone(coder: SparseCoder, residuals: np.ndarray) -> None:
    one = residuals[1]
    target = coder.codes(one).copy()
    assert coder.clamp(one, [3, 5], target) == pytest.approx(np.zeros_like(one))
    target[:, 3] += 2.0
    moved = coder.clamp(one, [3, 5], target)
    assert moved == pytest.approx(np.tile(2.0 * coder.scale * coder.decoder[3], (PLACES, 1)), abs=1e-5)


def test_only_the_k_largest_stay_and_none_is_negative() -> None:
    found = encode(torch.tensor([[3.0, -1.0, 2.0, 1.0]]), torch.eye(4), torch.zeros(4), 2)
    assert found.tolist() == [[3.0, 0.0, 2.0, 0.0]]
    none = encode(torch.tensor([[-3.0, -1.0, -2.0, -1.5]]), torch.eye(4), torch.zeros(4), 2)
    assert none.tolist() == [[0.0, 0.0, 0.0, 0.0]]


def test_features_are_ranked_and_random_ones_are_others(coder: SparseCoder, residuals: np.ndarray) -> None:
    families = [f"family{i // 40}" for i in range(PROMPTS)]
    found = rank_features(coder, residuals, FIRST, families)
    apart = np.abs(found.auc[found.ranked] - 0.5)
    assert (np.diff(apart) <= 1e-12).all()
    assert apart[0] > 0.4
    active = (coder.codes(residuals) > 0).any((0, 1))
    assert set(found.ranked) == set(np.flatnonzero(active).tolist())
    others = found.random_others(5, np.random.default_rng(0))
    assert len(set(others)) == 5
    assert set(others) <= set(found.ranked[5:])
    assert found.random_others(len(found.ranked) - 1, np.random.default_rng(0)) == []
    best = found.ranked[0]
    assert (
        np.sign(found.yes[:, best] - found.no[:, best]).tolist() == [np.sign(found.auc[best] - 0.5)] * PLACES
    )
