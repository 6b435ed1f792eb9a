"""Moved keys against keys that the model itself makes at the target position."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.cache_utils import QuantizedCache
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.reposition import check_movable, reposition
from pkv_interp.cache.rotation import rotations_of
from pkv_interp.errors import PkvError
from tests.families import FAMILIES, ids_of, tiny

ATOL = 1e-5
LENGTH = 12
ORIGINAL = 64  # tokens up to which dynamic and longrope keep their first frequencies
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0 + 0.1 * i for i in range(8)],
    "long_factor": [2.0 + 0.3 * i for i in range(8)],
    "original_max_position_embeddings": ORIGINAL,
}
ROPES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default"},
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 1024,
    },
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512},
    "longrope": LONGROPE,
    "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5},
}


def _part_of_a_head(share: float) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share}


#: Families beside the tiny ones: interleaved pairs, parts of a head, layers without a rotation.
OTHERS: dict[str, dict[str, Any]] = {
    "glm": {"head_dim": 16, "rope_parameters": _part_of_a_head(0.5)},
    "gpt_neox": {"rope_parameters": _part_of_a_head(0.25)},
    "phi3": {"rope_parameters": _part_of_a_head(0.5)},
    "stablelm": {},
    "cohere": {},
    "olmo2": {},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
}


@cache
def other(model_type: str) -> PreTrainedModel:
    return _model(model_type, OTHERS[model_type])


@cache
def roped(kind: str) -> PreTrainedModel:
    limit = ORIGINAL if kind == "dynamic" else 4096
    return _model(
        "llama",
        {
            "head_dim": 16,
            "max_position_embeddings": limit,
            "rope_parameters": {"rope_theta": 1e4, **ROPES[kind]},
        },
    )


def _model(model_type: str, special: dict[str, Any]) -> PreTrainedModel:
    shape = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "initializer_range": 0.15,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type](**(shape | special))
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)


@torch.no_grad()
def encode(model: PreTrainedModel, ids: Sequence[int], start: int = 0) -> FrozenCache:
    """Tokens with nothing before them, at positions from ``start``: plain transformers."""
    grown = DynamicCache()
    model(
        input_ids=torch.tensor([list(ids)]),
        position_ids=torch.arange(start, start + len(ids))[None],
        past_key_values=grown,
        use_cache=True,
    )
    return FrozenCache.of(grown)


def close(one: Sequence[Tensor], two: Sequence[Tensor], atol: float = ATOL) -> None:
    for mine, theirs in zip(one, two, strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)


def check(model: PreTrainedModel, ids: Sequence[int], start: int, delta: int) -> None:
    """One move against an encoding at the target; there and back; inputs as they were; values shared."""
    source = encode(model, ids, start)
    before = [key.clone() for key in source.keys]
    moved = reposition(model, source, delta, start=start)
    target = encode(model, ids, start + delta)
    # Layer 0 depends on token and position alone. Deeper layers see relative positions, which the model
    # itself rounds more coarsely the further out it is: to 1e-4 radians at some thousand tokens.
    close(moved.keys[:1], target.keys[:1])
    close(moved.keys, target.keys, 3e-5 if abs(delta) < 500 else 1e-3)
    assert all(a is b for a, b in zip(moved.values, source.values, strict=True))
    close(reposition(model, moved, -delta, start=start + delta).keys, source.keys)
    assert all(torch.equal(a, b) for a, b in zip(source.keys, before, strict=True))
    turned = [i for i, layout in enumerate(rotations_of(model).layouts) if layout != "none"]
    assert turned
    assert all(not torch.allclose(moved.keys[i], source.keys[i], atol=1e-3) for i in turned)


@pytest.mark.parametrize(("start", "delta"), [(0, 37), (20, -13), (7, 3000)])
@pytest.mark.parametrize("family", FAMILIES)
def test_tiny_families_land_where_the_model_would_put_them(family: str, start: int, delta: int) -> None:
    loaded = tiny(family)
    check(loaded.model, ids_of(loaded, LENGTH, 1), start, delta)


@pytest.mark.parametrize("kind", ROPES)
def test_every_rope_type(kind: str) -> None:
    check(roped(kind), range(100, 100 + LENGTH), 3, 29)


@pytest.mark.parametrize("model_type", OTHERS)
def test_partial_interleaved_and_absent_rotations(model_type: str) -> None:
    check(other(model_type), range(100, 100 + LENGTH), 3, 101)


def test_the_scaling_of_yarn_is_carried_once() -> None:
    model: Any = roped("yarn")
    assert model.model.rotary_emb.attention_scaling > 1.1
    cache = encode(model, range(100, 110))
    moved = reposition(model, cache, 40)
    close([moved.keys[0].norm(dim=-1)], [cache.keys[0].norm(dim=-1)], 1e-4)


def test_gemma3_layers_turn_by_their_own_theta() -> None:
    rotations = rotations_of(tiny("gemma3").model)
    sliding, full = rotations.layers[0], rotations.layers[2]
    assert sliding is not None
    assert full is not None
    assert not torch.allclose(sliding.short, full.short)


def test_layers_without_a_rotation_stay() -> None:
    assert rotations_of(other("smollm3")).layouts == ("half", "none", "half")
    assert set(rotations_of(other("glm")).layouts) == {"interleaved"}


def test_longrope_moves_inside_a_regime_and_not_across() -> None:
    model = roped("longrope")
    check(model, range(100, 110), 100, 50)  # both past the boundary: the long factors
    cache = encode(model, range(100, 110))
    with pytest.raises(PkvError, match="longrope rope has other frequencies at 110 tokens than at 10"):
        reposition(model, cache, 100)
    with pytest.raises(PkvError, match="other frequencies at 80"):
        reposition(model, cache, 0, target_length=80)
    part = encode(model, range(100, 200)).slice(0, 40)  # its keys have the frequencies of 100 tokens
    with pytest.raises(PkvError, match="other frequencies at 50 tokens than at 100"):
        reposition(model, part, 10, source_length=100)


def test_dynamic_stops_where_its_frequencies_change() -> None:
    model = roped("dynamic")
    with pytest.raises(PkvError, match=f"serves {ORIGINAL}"):
        reposition(model, encode(model, range(100, 110)), 60)
    long = encode(model, range(100, 180))
    with pytest.raises(PkvError):
        reposition(model, long.slice(70, 75), -60, start=70)


def test_a_long_prefill_before_does_not_change_the_rotation() -> None:
    model = roped("dynamic")
    encode(model, [5] * 100)  # leaves longer frequencies in the rotary module
    check(model, range(100, 110), 3, 29)


def test_positions_outside_the_model_are_refused() -> None:
    loaded = tiny("llama")
    cache = encode(loaded.model, ids_of(loaded, 8, 0), 5)
    with pytest.raises(PkvError, match="positions start at 0"):
        reposition(loaded.model, cache, -6, start=5)
    with pytest.raises(PkvError, match="serves 4096"):
        reposition(loaded.model, cache, 4090, start=5)
    with pytest.raises(PkvError, match="layers"):
        reposition(loaded.model, FrozenCache(cache.keys[:2], cache.values[:2]), 1)


@pytest.mark.parametrize(
    ("model_type", "special", "reason"),
    [
        ("gpt2", {}, "learned positions"),
        ("opt", {"ffn_dim": 96, "word_embed_proj_dim": 64}, "learned positions"),
        ("bloom", {}, "ALiBi"),
        ("falcon", {"alibi": True}, "ALiBi"),
        ("mamba", {"state_size": 4}, "recurrent state"),
        ("gptj", {"rotary_dim": 8}, "0 rotary modules"),
        ("nanochat", {}, "not recognised"),
    ],
)
def test_what_cannot_move_is_refused_by_name(model_type: str, special: dict[str, Any], reason: str) -> None:
    model = _model(model_type, special)
    with pytest.raises(PkvError, match=reason):
        rotations_of(model)


def test_quantised_and_foreign_caches_are_refused() -> None:
    model = tiny("llama").model
    cache = encode(model, range(300, 305))
    codes = FrozenCache(
        tuple(k.to(torch.int8) for k in cache.keys), tuple(v.to(torch.int8) for v in cache.values)
    )
    with pytest.raises(PkvError, match="quantised"):
        reposition(model, codes, 1)
    with pytest.raises(PkvError, match="DynamicCache cannot be repositioned"):
        check_movable(model, cache.view())
    held = object.__new__(QuantizedCache)
    held.layers = []
    with pytest.raises(PkvError, match="quantised"):
        check_movable(model, held)


def test_half_precision_is_turned_in_float32() -> None:
    model = tiny("llama").model
    cache = encode(model, range(300, 312))
    half = FrozenCache(tuple(k.bfloat16() for k in cache.keys), tuple(v.bfloat16() for v in cache.values))
    moved = reposition(model, half, 2000)
    exact = reposition(
        model, FrozenCache(tuple(k.float() for k in half.keys), tuple(v.float() for v in half.values)), 2000
    )
    assert moved.keys[0].dtype == torch.bfloat16
    assert all(torch.equal(a, b.bfloat16()) for a, b in zip(moved.keys, exact.keys, strict=True))
