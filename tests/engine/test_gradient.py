"""Attribution against finite differences taken with the engine's own patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch, Row
from tests.engine.support import LENGTH, Setting, setting
from tests.families import FAMILIES, ids_of

ACTIONS = (330, 331)
STEP = 0.02


def between(base: Prefill, donor: Prefill, share: float) -> Prefill:
    """A donor whose every activation lies at ``share`` of the way from base to donor."""
    mix: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = lambda a, b: a + share * (b - a)  # noqa: E731
    pair = zip(base.cache.keys + base.cache.values, donor.cache.keys + donor.cache.values, strict=True)
    tensors = [mix(a, b) for a, b in pair]
    n = base.cache.n_layers
    return replace(
        donor,
        cache=FrozenCache(tuple(tensors[:n]), tuple(tensors[n:])),
        z=mix(base.z, donor.z),
        mlp=mix(base.mlp, donor.mlp),
        z_all=mix(base.need("z_all"), donor.need("z_all")),
        mlp_all=mix(base.need("mlp_all"), donor.need("mlp_all")),
    )


def slopes(at: Setting, rows: list[Row], donor: Prefill) -> torch.Tensor:
    """Change of the margin per unit of the way to the donor, by central differences."""
    ends = []
    for share in (STEP, -STEP):
        logits = at.engine.rerun(at.base, rows, [between(at.base, donor, share)], ACTIONS).logits
        ends.append(logits[:, 0] - logits[:, 1])
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize("family", FAMILIES)
def test_decision_time_gradients(family: str) -> None:
    at = setting(family)
    # The donor's own decision token differs, so that MLPs of the first layer differ as well.
    donor = at.engine.prefill(ids_of(at.loaded, LENGTH, seed=9), {"prefill"})
    out = at.engine.attribute(at.base, donor, ACTIONS)
    sites = [(layer, position) for layer in (0, 2) for position in (0, 5, 30, 38)]
    rows: list[Row] = [(KVPatch((p,), 0, (layer,), "K"),) for layer, p in sites]
    rows += [(KVPatch((p,), 0, (layer,), "V"),) for layer, p in sites]
    rows += [(HeadPatch(layer, head, 0),) for layer in range(3) for head in range(4)]
    rows += [(MLPPatch(layer, 0),) for layer in range(3)]
    expected = slopes(at, rows, donor)
    found = torch.cat(
        [
            torch.stack([out.keys[site] for site in sites]),
            torch.stack([out.values[site] for site in sites]),
            out.heads[:3].flatten(),
            out.mlps[:3],
        ]
    )
    torch.testing.assert_close(found, expected, atol=3e-3, rtol=1e-2)
    assert expected.abs().max() > 0.05
    assert out.margin == pytest.approx(
        float(at.base.logits[ACTIONS[0]] - at.base.logits[ACTIONS[1]]), abs=1e-4
    )
    assert torch.equal(out.kv, out.keys + out.values)


def test_a_donor_that_is_the_base_has_no_effect() -> None:
    at = setting("llama")
    out = at.engine.attribute(at.base, at.base, ACTIONS)
    assert max(t.abs().max() for t in (out.keys, out.values, out.heads, out.mlps)) == 0


def test_weights_gain_no_gradient_and_grad_mode_is_left_alone() -> None:
    at = setting("gemma2")
    with torch.no_grad():
        at.engine.attribute(at.base, at.donors[0], ACTIONS)
        assert not torch.is_grad_enabled()
    assert all(p.grad is None and not p.requires_grad for p in at.loaded.model.parameters())


def test_donors_are_checked() -> None:
    at = setting("llama")
    short = at.engine.prefill(at.base.ids[:-1])
    with pytest.raises(PkvError, match="donor 0 has 39 tokens"):
        at.engine.attribute(at.base, short, ACTIONS)
    with pytest.raises(PkvError, match="token id"):
        at.engine.attribute(at.base, at.donors[0], (1, 10**6))
