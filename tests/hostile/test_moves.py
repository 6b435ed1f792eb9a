"""Moved keys and values are those of a text that stands there, or the move is refused."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import PreTrainedModel

from pkv_interp.cache import Runner, reposition
from pkv_interp.errors import PkvError
from tests.hostile.architectures import built, loaded_of
from tests.hostile.models_of_positions import close, plain, words

ORIGINAL = 32
TYPES = ["sliding_attention", "full_attention"] * 2


def scaled(beta: float) -> PreTrainedModel:
    """Ministral 3: queries are scaled anew past each multiple of the original length."""
    rope: dict[str, Any] = {"rope_type": "yarn", "rope_theta": 1e6, "factor": 16.0, "beta_fast": 32}
    rope |= {"beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": beta}
    rope |= {"original_max_position_embeddings": ORIGINAL}
    return built("ministral3", rope_parameters=rope)


@pytest.mark.parametrize(("beta", "delta"), [(0.1, 5), (0.0, 40), (0.0, 200)])
def test_moves_between_positions_of_one_scale_are_exact(beta: float, delta: int) -> None:
    model, ids = scaled(beta), words(20)
    close(reposition(model, Runner.of(model).prefill(ids).cache, delta), plain(model, ids, start=delta)[0])


@pytest.mark.parametrize("delta", [20, 40, 200])
def test_moves_to_another_scale_are_refused(delta: int) -> None:
    """Keys and values were 0.7 to 1.7 off."""
    model = scaled(0.1)
    with pytest.raises(PkvError, match=f"scales its queries by position past each multiple of {ORIGINAL}"):
        reposition(model, Runner.of(model).prefill(words(20)).cache, delta)


def test_a_scale_that_no_setting_states_is_found() -> None:
    model = built("beam", sliding_window=8, layer_types=TYPES)
    with pytest.raises(PkvError, match="scales its queries by position: moving by 40 changes values"):
        reposition(model, Runner.of(model).prefill(words(20)).cache, 40)


def test_layers_whose_type_has_no_rotation_are_moved() -> None:
    """A rotation of None for one layer type ended in a KeyError at load, and no cache could be moved."""
    rope = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}, "full_attention": None}
    model = built("cohere_compass_text", sliding_window=8, rope_parameters=rope, layer_types=TYPES)
    assert max(loaded_of(model).check.numbers().values()) < 1e-5
    ids = words(20)
    close(reposition(model, Runner.of(model).prefill(ids).cache, 40), plain(model, ids, start=40)[0])
