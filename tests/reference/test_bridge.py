"""The engine against TransformerLens, from the prompt on: nothing is shared but ids and weights."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.engine import Prefill
from pkv_interp.reference.bridge import BridgeTwin
from tests.engine.support import decision_rows, prefill_rows, setting
from tests.families import FAMILIES

FIELDS = ("logits", "z", "mlp", "resid", "attn", "z_all", "mlp_all", "resid_all")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bridge_agrees_on_activations_and_rows(family: str) -> None:
    at = setting(family)
    weights = {name: tensor.clone() for name, tensor in at.loaded.model.state_dict().items()}
    bridge = BridgeTwin(at.loaded)
    base, *donors = (bridge.prefill(prompt.ids) for prompt in (at.base, *at.donors))
    for field in FIELDS:
        mine: torch.Tensor = getattr(at.base, field)
        torch.testing.assert_close(
            mine, getattr(base, field), atol=5e-5, rtol=1e-5, msg=lambda m, f=field: f"{f}: {m}"
        )
    d_model = at.loaded.spec.d_model
    rows = decision_rows(d_model)
    _agree(at.engine.decode(at.base, rows, at.donors).logits, bridge.decode(base, rows, donors).logits)
    rows = prefill_rows(d_model)
    _agree(at.engine.rerun(at.base, rows, at.donors).logits, bridge.rerun(base, rows, donors).logits)
    # The bridge rewrites modules in place: those of its own copy.
    after = at.loaded.model.state_dict()
    assert list(after) == list(weights)
    assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())


def _agree(mine: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)


def test_the_bridge_runs_on_its_own_cache() -> None:
    at = setting("qwen3")
    base: Prefill = BridgeTwin(at.loaded).prefill(at.base.ids)
    assert base.cache.keys[0].data_ptr() != at.base.cache.keys[0].data_ptr()
    torch.testing.assert_close(base.cache.keys[2], at.base.cache.keys[2], atol=1e-5, rtol=1e-5)
