"""The shape read off a model, against what the model does."""

from operator import attrgetter
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config

from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.spec import FULL, SLIDING, ModelInfo, spec_of
from pkv_interp.models.tiny import SLIDING_FAMILIES, tiny_model
from tests import families


def test_shape_matches_the_tensors(tiny: LoadedModel) -> None:
    spec = tiny.spec
    z: dict[int, torch.Tensor] = {}
    layers: Any = attrgetter("model.layers")(tiny.model)
    handles = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, args, i=i: z.__setitem__(i, args[0]))
        for i, layer in enumerate(layers)
    ]
    out = tiny.model(torch.arange(300, 310)[None], use_cache=True)
    for handle in handles:
        handle.remove()
    assert len(z) == spec.n_layers == len(spec.layer_types) == len(spec.windows)
    assert all(value.shape == (1, 10, spec.n_heads * spec.head_dim) for value in z.values())
    for layer in out.past_key_values.layers:
        assert layer.keys.shape == (1, spec.n_kv_heads, 10, spec.head_dim)
    assert out.logits.shape[-1] == spec.vocab_size
    assert attrgetter("model.embed_tokens.weight")(tiny.model).shape[1] == spec.d_model
    assert spec.group_size == 2


@pytest.mark.parametrize("family", families.FAMILIES)
def test_windows_are_what_attention_sees(family: str) -> None:
    loaded = families.tiny(family, window=16, attention="eager")
    ids = torch.randint(300, loaded.spec.vocab_size, (1, 40), generator=torch.Generator().manual_seed(1))
    weights = loaded.model(ids, output_attentions=True).attentions
    assert len(weights) == loaded.spec.n_layers
    for window, weight in zip(loaded.spec.windows, weights, strict=True):
        seen = (weight[0, :, -1] > 0).all(0).sum().item()
        assert seen == (40 if window is None else window)


def test_both_kinds_of_layer_are_there_where_the_family_has_them() -> None:
    for family in ("gemma2", "gemma3", "gpt-oss"):
        assert set(families.tiny(family).spec.layer_types) == {FULL, SLIDING}
    assert set(families.tiny("mistral").spec.layer_types) == {SLIDING}
    windowed = {name for name in families.FAMILIES if any(families.tiny(name).spec.windows)}
    assert windowed == set(SLIDING_FAMILIES)
    assert families.tiny("mistral").spec.windows == (64, 64, 64)


def test_a_mistral_without_window_is_full() -> None:
    model, _ = tiny_model("mistral", 0)
    model.config.sliding_window = None
    assert spec_of(model).windows == (None, None, None)


def test_marks_of_the_families() -> None:
    gemma2, oss, llama = (families.tiny(name).spec for name in ("gemma2", "gpt-oss", "llama"))
    assert (gemma2.softcap, gemma2.attention_softcap, gemma2.tied, gemma2.sinks) == (30.0, 50.0, True, False)
    assert (oss.sinks, oss.softcap) == (True, None)
    assert (llama.softcap, llama.sinks, llama.tied) == (None, False, False)


def test_another_layout_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=32))
    with pytest.raises(PkvError, match=r"GPT2LMHeadModel has no module 'model\.embed_tokens'; use a decoder"):
        spec_of(model)


def test_a_layer_without_o_proj_is_refused() -> None:
    model, _ = tiny_model("llama", 0)
    del model.model.layers[1].self_attn.o_proj
    with pytest.raises(PkvError, match=r"layer 1 of LlamaForCausalLM has no module 'self_attn\.o_proj'"):
        spec_of(model)


@pytest.mark.parametrize(
    ("types", "told"),
    [
        (["full_attention", "linear_attention", "full_attention"], "has a recurrent state"),
        (["full_attention"], "layer types for 3 layers"),
    ],
)
def test_other_kinds_of_layer_are_refused(types: list[str], told: str) -> None:
    model, _ = tiny_model("qwen3", 0)
    object.__setattr__(model.config, "layer_types", types)
    with pytest.raises(PkvError, match=told):
        spec_of(model)


def test_weight_claims_are_refused_only_while_quantised_in_memory() -> None:
    info = families.tiny("llama").info
    info.require_plain_weights("the write-head test")
    held = ModelInfo(**{**info.model_dump(), "quantised": "bitsandbytes nf4", "quantised_in_memory": True})
    with pytest.raises(
        PkvError, match=r"the write-head test reads weights.*nf4; load it with model\.quantise_4bit"
    ):
        held.require_plain_weights("the write-head test")
