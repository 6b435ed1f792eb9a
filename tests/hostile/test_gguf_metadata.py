"""GGUF files whose metadata transformers leaves out: the logits of their model, or a refusal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_file import quantisation_of, read_gguf_model
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import save_gguf

IDS = torch.randint(300, 1900, (1, 150), generator=torch.Generator().manual_seed(1))
SHORT, LONG = np.ones(8, np.float32), np.linspace(1, 8, 8, dtype=np.float32)
THETA = 500000.0


def written(family: str, rope: dict[str, Any] | None = None, **settings: Any) -> PreTrainedModel:
    """The tiny model's weights under other rotary parameters (of its full layers) and settings."""
    model, _ = tiny_model(family, 0)
    config: Any = model.config
    config.rope_parameters.get("full_attention", config.rope_parameters).update(rope or {})
    for name, value in settings.items():
        setattr(config, name, value)
    made = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    made.load_state_dict(model.state_dict())
    return made


def llama3_factors(model: Any) -> np.ndarray:
    plain = THETA ** -(np.arange(0, 16, 2) / 16)
    return (plain / model.model.rotary_emb.inv_freq.numpy()).astype(np.float32)


def scaling(**keys: Any) -> dict[str, Any]:
    return {f"rope.scaling.{name}": value for name, value in keys.items()}


LINEAR = {"rope_type": "linear", "factor": 4.0}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": THETA,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 1024,
}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": SHORT.tolist(),
    "long_factor": LONG.tolist(),
    "original_max_position_embeddings": 100,
}
WINDOWS = {"attention.sliding_window": 64, "attention.sliding_window_pattern": 3}


@pytest.mark.parametrize(
    ("family", "rope", "settings", "metadata"),
    [
        ("llama", LINEAR, {}, scaling(type="linear", factor=4.0)),
        ("llama", LINEAR, {}, scaling(factor=4.0)),
        ("llama", LINEAR, {}, {"rope.scale_linear": 4.0}),
        ("llama", {}, {}, scaling(type="none", factor=4.0, finetuned=False)),
        ("llama", {"rope_theta": 5000.0}, {}, {}),
        ("llama", {}, {"rms_norm_eps": 1e-2}, {"attention.scale": 0.25, "attention.causal": True}),
        ("qwen3", LINEAR, {}, scaling(type="linear", factor=4.0)),
        ("qwen3", YARN, {}, scaling(type="yarn", factor=4.0, original_context_length=64)),
        (
            "qwen3",
            YARN | {"attention_factor": 2 * (0.1 * math.log(4.0) + 1), "beta_fast": 16.0},
            {},
            scaling(type="yarn", factor=4.0, original_context_length=64)
            | scaling(attn_factor=2.0, yarn_beta_fast=16.0),
        ),
        (
            "gemma2",
            {},
            {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 7.0, "sliding_window": 32},
            {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 7.0, "attention.sliding_window": 32},
        ),
        (
            "gemma3",
            LINEAR,
            {},
            WINDOWS | scaling(type="linear", factor=4.0) | {"rope.freq_base_swa": 10000.0},
        ),
        ("gemma3", {}, {}, WINDOWS | {"attention.sliding_window_pattern": [True, True, False] * 2}),
    ],
)
def test_metadata_is_applied(
    tmp_path: Path, family: str, rope: dict[str, Any], settings: dict[str, Any], metadata: dict[str, Any]
) -> None:
    """S9: a file with linear scaling was 1.2 off."""
    model = written(family, rope, **settings)
    save_gguf(tmp_path / "m.gguf", model, None, metadata=metadata)
    read = read_gguf_model(tmp_path / "m.gguf", torch.float32, "eager")
    with torch.no_grad():
        want, got = model(IDS).logits, read(IDS).logits
        assert (got - want).abs().max() < 1e-4
        if rope or settings:
            assert (tiny_model(family, 0)[0](IDS).logits - want).abs().max() > 1e-2


def test_factors_of_llama_3(tmp_path: Path) -> None:
    """S9: Llama 3.1 keeps its scaling in a tensor."""
    model = written("llama", LLAMA3)
    factors = llama3_factors(model)
    save_gguf(tmp_path / "m.gguf", model, None, tensors={"rope_freqs.weight": factors})
    read = read_gguf_model(tmp_path / "m.gguf", torch.float32, "eager")
    with torch.no_grad():
        assert (read(IDS).logits - model(IDS).logits).abs().max() < 1e-4
    save_gguf(tmp_path / "odd.gguf", model, None, tensors={"rope_freqs.weight": factors * LONG})
    with pytest.raises(PkvError, match=r"odd\.gguf scales rotary positions by rope_freqs\.weight"):
        read_gguf_model(tmp_path / "odd.gguf", torch.float32)


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        (scaling(type="yarn", factor=4.0, original_context_length=64), "rope.scaling.type = yarn beside"),
        (scaling(type="linear", factor=4.0), "rope.scaling.type = linear beside rope_freqs.weight"),
        (scaling(factor=4.0), "rope.scaling.factor = 4.0 beside rope_freqs.weight"),
        ({"rope.scale_linear": 4.0}, "linear beside rope_freqs.weight"),
        (scaling(mystery=4.0), "rope.scaling.mystery = 4.0"),
        (scaling(attn_factor=2.0), "rope.scaling.attn_factor = 2.0"),
        (scaling(type="none", factor=4.0, finetuned=True, original_context_length=64), None),
        (scaling(type="linear", factor=1.0), None),
    ],
)
def test_factors_beside_another_rule(tmp_path: Path, metadata: dict[str, Any], named: str | None) -> None:
    """A tensor of factors switched off every check of the keys; those that scale nothing stay right."""
    model, file = written("llama", LLAMA3), tmp_path / "m.gguf"
    save_gguf(file, model, None, metadata=metadata, tensors={"rope_freqs.weight": llama3_factors(model)})
    if named is not None:
        with pytest.raises(PkvError, match=named):
            read_gguf_model(file, torch.float32)
        return
    with torch.no_grad():
        got, want = read_gguf_model(file, torch.float32, "eager")(IDS).logits, model(IDS).logits
    assert (got - want).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("metadata", "named"),
    [
        (scaling(factor=4.0), "rope.scaling.factor = 4.0"),
        (scaling(type="yarn"), "rope.scaling.type = yarn"),
        ({"rope.scale_linear": 4.0}, "rope.scaling.type = linear"),
    ],
)
def test_factors_by_length_beside_another_rule(tmp_path: Path, metadata: dict[str, Any], named: str) -> None:
    model = written("phi3", LONGROPE, original_max_position_embeddings=100)
    tensors = {"rope_factors_long.weight": LONG, "rope_factors_short.weight": SHORT}
    metadata = metadata | scaling(original_context_length=100)
    save_gguf(tmp_path / "m.gguf", model, None, metadata=metadata, tensors=tensors)
    with pytest.raises(PkvError, match=named):
        read_gguf_model(tmp_path / "m.gguf", torch.float32)


def test_factors_by_length(tmp_path: Path) -> None:
    """S9: Phi-3's two lists, on a prompt past the boundary."""
    model = written("phi3", LONGROPE, original_max_position_embeddings=100)
    loudness = math.sqrt(1 + math.log(4096 / 100) / math.log(100))
    save_gguf(
        tmp_path / "m.gguf",
        model,
        None,
        metadata=scaling(original_context_length=100, attn_factor=loudness),
        tensors={"rope_factors_long.weight": LONG, "rope_factors_short.weight": SHORT},
    )
    read = read_gguf_model(tmp_path / "m.gguf", torch.float32, "eager")
    with torch.no_grad():
        for ids in (IDS, IDS[:, :60]):
            assert (read(ids).logits - model(ids).logits).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("family", "metadata", "named"),
    [
        ("llama", {"attention.mystery": 3}, "attention.mystery = 3"),
        ("llama", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping = 50.0"),
        ("llama", {"attention.sliding_window": 32}, "attention.sliding_window = 32"),
        ("llama", {"attention.scale": 0.5}, "attention.scale = 0.5"),
        ("llama", {"logit_scale": 0.125}, "logit_scale = 0.125"),
        ("llama", {"residual_scale": 0.5}, "residual_scale = 0.5"),
        ("llama", {"expert_count": 4}, "expert_count = 4"),
        ("llama", {"rope.dimension_count": 8}, "rope.dimension_count = 8"),
        ("llama", {"attention.value_length": 8}, "attention.value_length = 8"),
        ("llama", {"attention.head_count_kv": [2, 1, 2]}, "num_key_value_heads"),
        ("llama", scaling(type="dynamic", factor=2.0), "rope.scaling.type = dynamic"),
        ("llama", scaling(factor=2.0, attn_factor=2.0), "rope.scaling.attn_factor = 2.0"),
        ("llama", scaling(type="yarn", factor=2.0, yarn_log_multiplier=0.5), "yarn_log_multiplier"),
        ("llama", scaling(type="linear", factor=2.0, mystery=1.0), "rope.scaling.mystery"),
        ("llama", scaling(mystery=True), "rope.scaling.mystery"),
        ("llama", scaling(mystery="words"), "rope.scaling.mystery"),
        ("qwen3", {"attention.sliding_window": 32}, "attention.sliding_window = 32"),
        ("llama", {"general.type": "adapter"}, "is of type adapter"),
    ],
)
def test_metadata_that_cannot_be_followed_is_refused_by_name(
    tmp_path: Path, family: str, metadata: dict[str, Any], named: str
) -> None:
    """S9: nothing is left out in silence."""
    save_gguf(tmp_path / "m.gguf", tiny_model(family, 0)[0], None, metadata=metadata)
    with pytest.raises(PkvError, match=named) as caught:
        read_gguf_model(tmp_path / "m.gguf", torch.float32)
    assert "m.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "blk.1.mystery.weight", "blk.7.attn_norm.weight"])
def test_tensors_that_go_into_no_weight_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """S9, T17: a bias that the architecture does not have was dropped."""
    save_gguf(tmp_path / "m.gguf", tiny_model("llama", 0)[0], None, tensors={name: np.ones(64, np.float32)})
    with pytest.raises(PkvError, match=f"LlamaForCausalLM has no place for, first {name}"):
        read_gguf_model(tmp_path / "m.gguf", torch.float32)


def test_tensors_of_another_shape(tmp_path: Path) -> None:
    """The line sent its reader to a report that was not shown."""
    tensors = {"output_norm.weight": np.ones(32, np.float32)}
    save_gguf(tmp_path / "m.gguf", tiny_model("llama", 0)[0], None, tensors=tensors)
    with pytest.raises(
        PkvError, match=r"model\.norm\.weight of shape \(32,\), and its config makes it \(64,\)"
    ):
        read_gguf_model(tmp_path / "m.gguf", torch.float32)


def test_a_file_type_that_the_reader_does_not_know(tmp_path: Path) -> None:
    """T8: was a ValueError. A file of a known type whose tensors are of another is named by its tensors."""
    model, _ = tiny_model("llama", 0)
    save_gguf(tmp_path / "m.gguf", model, None, metadata={"general.file_type": 999})
    with pytest.raises(PkvError, match=r"m\.gguf is of file type 999, which the installed gguf"):
        quantisation_of(tmp_path / "m.gguf")
    save_gguf(tmp_path / "n.gguf", model, None, "Q4_1", metadata={"general.file_type": 0})
    assert quantisation_of(tmp_path / "n.gguf") == "Q4_1 (dequantised)"
