"""Packed, sequential and TransformerLens on the real model."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.bridge import BridgeTwin
from pkv_interp.reference.sequential import Sequential
from tests.families import ids_of

LENGTH = 160


@pytest.mark.slow
def test_three_routes_agree_on_the_real_model(real_model: LoadedModel) -> None:
    engine, sequential, bridge = Engine(real_model), Sequential(real_model), BridgeTwin(real_model)
    base_ids = ids_of(real_model, LENGTH, seed=1)
    donor_ids = [*ids_of(real_model, LENGTH, seed=2, base=base_ids, start=20)[:80], *base_ids[80:]]
    base, donor = (engine.prefill(ids, {"prefill"}) for ids in (base_ids, donor_ids))
    spec = real_model.spec
    decided: list[Row] = [
        (),
        (KVPatch(tuple(range(40, 80)), 0),),
        (KVPatch((60, 158), 0, (3, 12, 20), "K"), KVPatch((100,), 0, part="V")),
        (HeadPatch(10, 4, 0), HeadPatch(20, 8, 0), MLPPatch(5, 0)),
        (KVPatch((30,), 0), Knockout(tuple(range(0, 100)), (8, 9)), MLPPatch(29, 0)),
    ]
    rerun: list[Row] = [
        (HeadPatch(10, 4, 0, 150), MLPPatch(4, 0, 155)),
        (ResidualEdit(15, 140, 0.1 * torch.ones(spec.d_model)), KVPatch((70,), 0)),
    ]
    own = bridge.prefill(base_ids)
    donors = [bridge.prefill(donor_ids)]
    for mine, alone, theirs in (
        (
            engine.decode(base, decided, [donor]),
            sequential.decode(base, decided, [donor]),
            bridge.decode(own, decided, donors),
        ),
        (
            engine.rerun(base, rerun, [donor]),
            sequential.rerun(base, rerun, [donor]),
            bridge.rerun(own, rerun, donors),
        ),
    ):
        torch.testing.assert_close(mine.logits, alone.logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(mine.logits, theirs.logits, atol=1e-4, rtol=0)
