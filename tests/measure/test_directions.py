"""Directions are fitted apart from what they are put into; edits of the prefill have known answers."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.measure.directions import ablated, along, fit_direction, injected, random_like, steer
from pkv_interp.measure.pairs import PairRun


def test_all_that_differs_after_a_block_makes_the_clean_prompt(engine: Engine, pair: PairRun) -> None:
    layer = engine.spec.n_layers - 2
    clean, corrupt = (engine.prefill(p.ids, {"prefill"}) for p in (pair.clean, pair.corrupt))
    # Later blocks read earlier positions from the corrupt prompt; from the trigger on all are edited.
    at = list(range(pair.changed[0], pair.clean.length))
    delta = (clean.need("resid_all") - corrupt.need("resid_all"))[layer + 1, at].numpy()
    ids = pair.case.action_ids
    nothing, whole = steer(engine, pair.corrupt, at, layer, [np.zeros_like(delta), delta], ids)
    assert nothing == pytest.approx(pair.corrupt_margin, abs=1e-4)
    assert whole == pytest.approx(pair.clean_margin, abs=1e-3)


def test_a_planted_direction_is_found_at_each_aggregator() -> None:
    rng = np.random.default_rng(0)
    planted = rng.normal(size=(3, 40))
    first = np.tile([True, False], 100)
    x = 0.2 * rng.normal(size=(200, 3, 40)) + np.where(first, 0.5, -0.5)[:, None, None] * planted + 7.0
    found = fit_direction(x, first)
    assert found.difference == pytest.approx(planted, abs=0.15)
    assert found.centre == pytest.approx(np.full((3, 40), 7.0), abs=0.1)
    assert np.linalg.norm(found.probe) == pytest.approx(np.linalg.norm(found.difference))
    cosine = (found.probe * planted).sum() / np.linalg.norm(found.probe) / np.linalg.norm(planted)
    assert cosine > 0.5


def test_parts_along_and_across_and_random_directions() -> None:
    rng = np.random.default_rng(1)
    vectors, direction = rng.normal(size=(2, 4, 30))
    part = along(vectors, direction)
    assert ((vectors - part) * direction).sum(-1) == pytest.approx(np.zeros(4), abs=1e-9)
    assert along(part, direction) == pytest.approx(part)
    drawn = random_like(direction, rng)
    assert np.linalg.norm(drawn, axis=-1) == pytest.approx(np.linalg.norm(direction, axis=-1))
    assert abs((drawn * direction).sum()) < 0.6 * (direction**2).sum()


def test_what_is_injected_sums_to_the_difference_and_what_is_ablated_goes_to_the_centre() -> None:
    rng = np.random.default_rng(2)
    first = np.tile([True, False], 20)
    fitted = fit_direction(rng.normal(size=(40, 3, 12)) + first[:, None, None], first)
    delta, residual = rng.normal(size=(2, 3, 12))
    into = injected(fitted, delta, 2, np.random.default_rng(0))
    assert not into["nothing"].any()
    assert into["along"] + into["across"] == pytest.approx(into["full"])
    assert into["full"] == pytest.approx(delta)
    out = ablated(fitted, residual, 2, np.random.default_rng(0))
    left = residual + out["ablate"] - fitted.centre
    assert (left * fitted.difference).sum(-1) == pytest.approx(np.zeros(3), abs=1e-9)
    for drawn in (into, out):
        one, two = (vectors for name, vectors in drawn.items() if "random@" in name)
        assert not np.allclose(one, two)
    lengths = np.linalg.norm(into["add_random@0"], axis=-1)
    assert lengths == pytest.approx(np.linalg.norm(fitted.difference, axis=-1))
