"""The load check refuses by name what is read wrongly, and models that are not read at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.load_check import check_model
from pkv_interp.models.spec import ModelSpec
from tests.families import FAMILIES, tiny
from tests.hostile.architectures import REFUSED, built, loaded_of, read
from tests.hostile.models_of_positions import plain, words
from tests.models.saved import load_local


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_at_load_in_one_short_line(name: str) -> None:
    """T2, T6 and their kind."""
    architecture, special, words = REFUSED[name]
    with pytest.raises(PkvError) as caught:
        loaded_of(built(architecture, **special))
    told = str(caught.value)
    assert words in told
    assert len(told) < 300
    assert "\n" not in told


@pytest.mark.parametrize("name", ["layers share caches"])
def test_raw_models_are_refused_before_their_first_prefill(name: str) -> None:
    """T2: through the runner, which editing and composing make of any model."""
    architecture, special, words = REFUSED[name]
    with pytest.raises(PkvError, match=words):
        Runner.of(built(architecture, **special))


#: The common shape states heads that no latent attention has.
_LATENT_HEADS = {"head_dim": 8, "num_key_value_heads": 4, "num_experts_per_tok": 2}


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("latent attention", _LATENT_HEADS),
        ("latent attention, experts", _LATENT_HEADS),
        ("heads of two widths", {}),
        ("chunks", {}),
        ("gated heads", {}),
    ],
)
def test_what_the_engine_cannot_trace_is_run_over_its_cache_all_the_same(
    name: str, heads: dict[str, int]
) -> None:
    """T6: a suffix over a prefix, and every token run again in place, are a prefill of the whole."""
    architecture, special, _ = REFUSED[name]
    model = built(architecture, **special, **heads)
    runner, ids = Runner.of(model), words(24)
    wanted = plain(model, ids)[1]
    for made in (
        runner.extend(runner.prefill(ids[:7]).cache, ids[7:]),
        runner.recompute(runner.prefill(words(24, seed=1)).cache, range(24), ids),
    ):
        torch.testing.assert_close(made.logits, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("key", "value"), [("num_key_value_heads", 1), ("num_attention_heads", 2)])
def test_a_config_that_says_other_heads_than_the_forward_shows(key: str, value: int) -> None:
    model = built("llama", rms_norm_eps=1e-5 * value)
    kept = getattr(model.config, key)
    setattr(model.config, key, value)
    with pytest.raises(PkvError, match=r"o_proj of|states . heads over . KV heads"):
        loaded_of(model)
    setattr(model.config, key, kept)
    assert loaded_of(model).spec.n_heads == 4


def _blocks(**changed: Any) -> Callable[[ModelSpec], ModelSpec]:
    def wrong(spec: ModelSpec) -> ModelSpec:
        blocks = tuple(replace(block, **changed) for block in spec.anatomy.blocks)
        return replace(spec, anatomy=replace(spec.anatomy, blocks=blocks))

    return wrong


def _last(**changed: Any) -> Callable[[ModelSpec], ModelSpec]:
    return lambda spec: replace(spec, anatomy=replace(spec.anatomy, **changed))


#: By case: the model, the wrong reading of it, and words of the refusal.
WRONG: dict[str, tuple[str, Callable[[ModelSpec], ModelSpec], str]] = {
    "S1: raw attention before its norm": ("norm after", _blocks(attention_norm=None), "to its stream"),
    "S1: raw MLP before its norm": ("norm after", _blocks(mlp_norm=None), "to its stream"),
    "S1: the norm of the MLP's input": (
        "norms on both sides",
        _blocks(attention_norm="post_attention_layernorm"),
        "to its stream",
    ),
    "residuals not scaled": (
        "scaled residuals and logits",
        _blocks(attention_factor=1.0, mlp_factor=1.0),
        "to its stream",
    ),
    "scores scaled by the head": ("scaled residuals and logits", _blocks(scaling=0.25), "heads of"),
    "S2: logits not scaled": ("scaled residuals and logits", _last(logit_factor=1.0), "make its logits"),
    "S2: the other way round": ("parallel", _last(logit_factor=16.0), "make its logits"),
    "softcap that is not there": ("norm after", _last(softcap=1.0), "make its logits"),
    "S4: a window stated, not used": (
        "window stated, not used",
        lambda spec: replace(spec, windows=(32,) * 4),
        "heads of",
    ),
    "S4: a window not stated": (
        "LayerNorm, window",
        lambda spec: replace(spec, windows=(None,) * 4),
        "heads of",
    ),
    "S4: windows of other layers": (
        "windows from a layer on",
        lambda spec: replace(spec, windows=spec.windows[::-1]),
        "heads of",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_check_refuses_a_wrong_reading_by_name(case: str) -> None:
    """S1, S2, S4 with our own handling switched off; the right reading passes."""
    name, wrong, words = WRONG[case]
    loaded = read(name)
    with pytest.raises(PkvError, match=words):
        check_model(loaded.model, wrong(loaded.spec))
    right = check_model(loaded.model, loaded.spec)
    assert max(right.numbers().values()) < 1e-5


def test_the_check_refuses_an_rms_reading_of_a_layer_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 with our own handling switched off: centring is left out."""
    loaded = read("LayerNorm, window")
    monkeypatch.setattr("pkv_interp.models.norms.FrozenNorm.parts", lambda self, x: x.float() * self.factors)
    with pytest.raises(PkvError, match="parts of the stream of Starcoder2ForCausalLM do not sum"):
        check_model(loaded.model, loaded.spec)


def test_the_check_refuses_frequencies_that_follow_the_length_unknown_how() -> None:
    """S5 with our own handling switched off: the rotary module does not say what it does."""
    model = built("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    loaded = loaded_of(model)
    assert loaded.check.rotation > 0.01
    rotary: Any = model.model.rotary_emb
    forward = rotary.forward

    def follows(x: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        return tuple(t * (1 + position_ids.max() / 1000) for t in forward(x, position_ids))

    rotary.rope_type, rotary.forward = "default", follows
    with pytest.raises(PkvError, match="rotary frequencies of LlamaForCausalLM follow the length"):
        check_model(model, loaded.spec)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_record_holds_the_numbers_of_the_check(family: str) -> None:
    loaded = tiny(family)
    assert loaded.info.check == loaded.check.numbers()
    assert set(loaded.info.check) == {"stream", "attention", "lens", "direct_logits", "rotation"}
    assert max(loaded.info.check.values()) < 1e-5


def test_a_vision_model_without_a_language_model_of_its_own_is_refused_in_a_short_line(
    tmp_path: Path,
) -> None:
    """T7: transformers lists every architecture it knows."""
    text = {"vocab_size": 1920, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    vision = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    config = Qwen2_5_VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=vision)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny("qwen3").tokenizer.save_pretrained(tmp_path)
    with pytest.raises(PkvError, match="Qwen2_5_VLTextConfig.*use a causal language model") as caught:
        load_local(tmp_path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
