"""A model whose blocks are dispatched by accelerate, some of them to disk, is run as the plain model is.

Several GPUs are not at hand here: what is tested is that the engine goes through the hooks that move weights
and inputs, and never around them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from accelerate import dispatch_model

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch
from pkv_interp.models.tiny import tiny_model
from tests.families import ids_of, tiny


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Engine]:
    folder: Path = tmp_path_factory.mktemp("offloaded")
    plain, (model, _) = tiny("llama"), tiny_model("llama", 0)
    places: dict[str, Any] = {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu"}
    places |= {"model.layers.0": "cpu", "model.layers.1": "disk", "model.layers.2": "disk"}
    places |= {"model.norm": "cpu", "lm_head": "cpu"}
    main: Any = "cpu"
    moved = dispatch_model(model, places, main_device=main, offload_dir=str(folder), force_hooks=True)
    assert {p.device.type for p in model.model.layers[1].parameters()} == {"meta"}
    return Engine(plain), Engine(replace(plain, model=moved.eval()))


def test_prefills_decisions_suffixes_and_gradients_are_those_of_the_plain_model(
    engines: tuple[Engine, Engine],
) -> None:
    ids = ids_of(engines[0].loaded, 30, 0)
    other = ids_of(engines[0].loaded, 30, 1, ids, 12)
    capture = {"prefill", "attention", "queries"}
    pairs = [(e, e.prefill(ids, capture), e.prefill(other, capture)) for e in engines]
    decided = [(), (KVPatch((14, 20), 0),), (HeadPatch(1, 2, 0),)]
    again = [(HeadPatch(0, 1, 0, position=15),), (MLPPatch(1, 0, position=16),)]
    found = [
        {
            "prefill": corrupt.logits,
            "captures": corrupt.need("resid_all"),
            "decisions": engine.decode(corrupt, decided, (clean,)).logits,
            "suffixes": engine.rerun(corrupt, again, (clean,), [300, 301]).logits,
            "keys": engine.attribute(corrupt, clean, (300, 301)).keys,
            "heads": engine.attribute(corrupt, clean, (300, 301)).heads,
        }
        for engine, clean, corrupt in pairs
    ]
    for name, plain in found[0].items():
        assert (plain - found[1][name]).abs().max() < 1e-4, name
        assert plain.abs().max() > 1e-2, name
