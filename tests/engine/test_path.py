"""Effects on the way to a donor: against finite differences, first-order effects, and what all heads move."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pkv_interp.engine import path
from pkv_interp.engine.path import WayPoint, path_effects, way_points
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Row
from tests.engine.support import LENGTH, Setting, setting
from tests.families import FAMILIES, ids_of

ACTIONS = (330, 331)
STEP = 0.02


def by_differences(at: Setting, point: WayPoint) -> torch.Tensor:
    """Central differences of the margin to each head's share, every other head of the layer at the point."""
    donor, base = at.donors[0], at.base
    shares = (point.share, point.share + STEP, point.share - STEP)
    donors = [replace(donor, z=base.z + share * (donor.z - base.z)) for share in shares]
    heads = range(at.engine.spec.n_heads)
    rows: list[Row] = [
        tuple(HeadPatch(point.layer, head, which if head == moved else 0) for head in heads)
        for moved in heads
        for which in (1, 2)
    ]
    logits = at.engine.decode(base, rows, donors, ACTIONS).logits
    margins = (logits[:, 0] - logits[:, 1]).reshape(-1, 2)
    return (margins[:, 0] - margins[:, 1]) / (2 * STEP)


@pytest.mark.parametrize("family", FAMILIES)
def test_they_are_finite_differences(family: str) -> None:
    at = setting(family)
    points = [WayPoint(2, 0.4), WayPoint(0, 1.0), WayPoint(2, 0.9)]
    found = path_effects(at.engine, at.base, at.donors[0], points, ACTIONS)
    expected = torch.stack([by_differences(at, point) for point in points])
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(found, expected, atol=3e-3, rtol=1e-2)


def test_at_the_start_they_are_first_order_effects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(path, "TOGETHER", 2)
    at = setting("qwen3")
    layers = range(at.engine.spec.n_layers)
    points = [WayPoint(layer, 0.0) for layer in reversed(layers)]
    found = path_effects(at.engine, at.base, at.donors[0], points, ACTIONS).flip(0)
    torch.testing.assert_close(found, at.engine.attribute(at.base, at.donors[0], ACTIONS).heads)


def test_their_mean_over_a_fine_way_sums_to_what_all_heads_move() -> None:
    at, steps = setting("llama"), 50
    layer = at.engine.spec.n_layers - 1
    donor = at.engine.prefill(ids_of(at.loaded, LENGTH, seed=9))
    middles = [WayPoint(layer, (k + 0.5) / steps) for k in range(steps)]
    found = path_effects(at.engine, at.base, donor, middles, ACTIONS).mean(0).sum()
    every: Row = tuple(HeadPatch(layer, head, 0) for head in range(at.engine.spec.n_heads))
    (before, after) = at.engine.decode(at.base, [(), every], [donor], ACTIONS).logits.diff(dim=1)[:, 0]
    assert abs(before - after) > 0.05
    assert float(found) == pytest.approx(float(before - after), abs=1e-3)


def test_points_are_each_layer_at_even_steps_up_to_the_donor() -> None:
    assert way_points(2, 2) == (WayPoint(0, 0.5), WayPoint(0, 1.0), WayPoint(1, 0.5), WayPoint(1, 1.0))


def test_the_base_and_the_weights_are_left_as_they_were() -> None:
    at = setting("gemma2")
    before = [one.clone() for one in (at.base.z, *at.base.cache.keys)]
    with torch.no_grad():
        path_effects(at.engine, at.base, at.donors[0], [WayPoint(1, 0.5)], ACTIONS)
    assert all(torch.equal(a, b) for a, b in zip(before, (at.base.z, *at.base.cache.keys), strict=True))
    assert all(p.grad is None and not p.requires_grad for p in at.loaded.model.parameters())


def test_what_is_no_point_is_refused() -> None:
    at = setting("llama")
    with pytest.raises(PkvError, match="1.5 of the way is not on it"):
        WayPoint(0, 1.5)
    with pytest.raises(PkvError, match="no points were given"):
        path_effects(at.engine, at.base, at.donors[0], [], ACTIONS)
    with pytest.raises(PkvError, match="layer"):
        path_effects(at.engine, at.base, at.donors[0], [WayPoint(99, 0.5)], ACTIONS)
    short = at.engine.prefill(at.base.ids[:-1])
    with pytest.raises(PkvError, match="donor 0 has 39 tokens"):
        path_effects(at.engine, at.base, short, [WayPoint(0, 0.5)], ACTIONS)
