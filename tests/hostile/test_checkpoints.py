"""Checkpoints that say one thing and hold another: read right, or refused by name in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    MixtralConfig,
    MixtralForCausalLM,
    SiglipVisionConfig,
)

from experiments import find
from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.tiny import tiny_model
from pkv_interp.weight_editing.projections import require_dense
from tests.models.saved import load_local, save_tiny

IDS = torch.tensor([[1, 300, 400, 500, 350]])
Tensors = dict[str, torch.Tensor]
Q_PROJ = "model.layers.0.self_attn.q_proj"


def altered(folder: Path, change: Callable[[Tensors], object] | None = None, **config: Any) -> Path:
    """A tiny Llama's checkpoint with other tensors and another configuration."""
    save_tiny(folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    if change is not None:
        change(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    stated = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(stated | config))
    return folder


def refused(folder: Path, match: str, **overrides: Any) -> None:
    with pytest.raises(PkvError, match=match) as caught:
        load_local(folder, **overrides)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("extra", "config", "match"),
    [
        (f"{Q_PROJ}.bias", {}, f"holds 1 weights that its config.json leaves out, first {Q_PROJ}.bias"),
        ("model.layers.0.mlp.up_proj.bias", {}, "first model.layers.0.mlp.up_proj.bias"),
        ("visual.patch_embed.weight", {}, "first visual.patch_embed.weight"),
        (None, {"num_hidden_layers": 2}, r"leaves out, first model\.layers\.2\."),
        (None, {"attention_bias": True}, r"lacks 12 weights, first .*self_attn\.k_proj\.bias"),
        (None, {"tie_word_embeddings": True}, "stores lm_head.weight different from the embedding"),
        (None, {"num_key_value_heads": 4}, r"k_proj\.weight of shape \(32, 64\), and its config makes it"),
    ],
)
def test_tensors_that_the_config_leaves_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], extra: str | None, config: dict[str, Any], match: str
) -> None:
    """T17: was a table on stderr, then success."""
    add = {} if extra is None else {extra: torch.ones(64)}
    refused(altered(tmp_path, lambda tensors: tensors.update(add), **config), match)
    assert "LOAD REPORT" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "config", "match"),
    [
        (
            None,
            {"vocab_size": 1000},
            r"lm_head\.weight of shape \(\d+, 64\), and its config makes it \(1000, 64\)",
        ),
        (
            lambda tensors: tensors.update({"model.norm.weight": torch.ones(1, 64)}),
            {},
            r"holds model\.norm\.weight of shape \(1, 64\), and its config makes it \(64,\);",
        ),
    ],
)
def test_tensors_of_another_shape(
    tmp_path: Path, change: Callable[[Tensors], object] | None, config: dict[str, Any], match: str
) -> None:
    """The line sent its reader to a report that was not shown."""
    refused(altered(tmp_path, change, **config), match)


@pytest.mark.parametrize(
    ("family", "config", "match"),
    [
        ("mistral", {"sliding_window": 8.0}, r"has sliding_window = 8\.0, not int or null; correct"),
        ("mistral", {"sliding_window": True}, "has sliding_window = True, not int or null; correct"),
        ("mistral", {"sliding_window": "8"}, "has sliding_window = .*8.*, not int or null; correct"),
        ("mistral", {"sliding_window": [8, 8]}, r"has sliding_window = \[8, 8\], not int or null"),
        ("mistral", {"sliding_window": 0}, "has sliding_window = 0, which leaves no token to attend to"),
        ("mistral", {"sliding_window": -1}, "has sliding_window = -1, which leaves no token"),
        ("llama", {"rms_norm_eps": "1e-5"}, "has rms_norm_eps = .*1e-5.*, not float; correct"),
        ("llama", {"num_attention_heads": 0}, "has num_attention_heads = 0, not a number above 0"),
        ("llama", {"vocab_size": -5}, "has vocab_size = -5, not a number above 0"),
        ("qwen3", {"layer_types": ["full_attention"]}, "contradicts itself: .*num_hidden_layers"),
        ("llama", {"rope_parameters": {"rope_type": "mystery"}}, "has rope_type = 'mystery', which"),
        ("llama", {"rope_parameters": {"rope_type": "linear", "factor": "four"}}, "has factor = 'four' in"),
        ("llama", {"rope_parameters": {"rope_type": "linear"}}, "Missing required keys .*'factor'"),
    ],
)
def test_values_of_the_config(tmp_path: Path, family: str, config: dict[str, Any], match: str) -> None:
    """Each was a library's long line without the key, or blamed the architecture."""
    save_tiny(tmp_path, family)
    stated = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stated | config))
    with pytest.raises(PkvError, match=match) as caught:
        load_local(tmp_path)
    assert str(caught.value).startswith(f"config.json of {tmp_path}")
    assert len(caught.value.cause) - len(str(tmp_path)) < 140


def test_a_window_that_no_layer_has_is_no_matter(tmp_path: Path) -> None:
    """Llama has no windows, so that a 0 there says nothing."""
    assert load_local(altered(tmp_path, sliding_window=0)).spec.windows == (None,) * 3


def test_a_dtype_that_a_kernel_does_not_take() -> None:
    """The experts' grouped product has no float64; the line blamed the attention."""
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    config = MixtralConfig(vocab_size=100, num_hidden_layers=1, num_local_experts=4, **sizes)
    assert Runner.of(MixtralForCausalLM(config).eval()).types == ("full_attention",)
    with pytest.raises(PkvError, match="does not run in float64: .*; set model.dtype=float32"):
        Runner.of(MixtralForCausalLM(config).eval().double())


def test_harmless_leftovers_are_let_through(tmp_path: Path) -> None:
    def change(tensors: Tensors) -> None:
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    loaded = load_local(altered(tmp_path, change, tie_word_embeddings=True))
    assert loaded.spec.tied


def test_shards(tmp_path: Path) -> None:
    model = save_tiny(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="400KB")
    whole = load_local(tmp_path)
    assert torch.equal(whole.model(IDS).logits, model(IDS).logits)
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    shard.unlink()
    refused(tmp_path, f"lacks 1 of [0-9]+ shards, first {shard.name}")


def _fp8(tensors: Tensors) -> None:
    for name in [name for name in tensors if "_proj" in name]:
        scale = tensors[name].abs().max() / 448.0
        tensors[name] = (tensors[name] / scale).to(torch.float8_e4m3fn)
        tensors[f"{name}_scale_inv"] = scale.reshape(1, 1)


FP8 = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}


def test_a_quantised_checkpoint_is_named(tmp_path: Path) -> None:
    """S16: transformers undoes fp8 on this machine, and the record said null."""
    loaded = load_local(altered(tmp_path, _fp8, quantization_config=FP8))
    assert (loaded.info.quantised, loaded.info.quantised_in_memory) == ("fp8 (dequantised)", False)
    plain, _ = tiny_model("llama", 0)
    one, other = (m.state_dict()[f"{Q_PROJ}.weight"] for m in (loaded.model, plain))
    assert 0 < (one - other).abs().max() < 0.05


def test_packed_weights_that_no_config_names(tmp_path: Path) -> None:
    """S16: plain casts are named by their type, and scales that would be dropped are refused."""

    def cast(tensors: Tensors) -> None:
        tensors[f"{Q_PROJ}.weight"] = tensors[f"{Q_PROJ}.weight"].to(torch.float8_e4m3fn)

    assert load_local(altered(tmp_path / "a", cast)).info.quantised == "F8_E4M3 (dequantised)"
    refused(altered(tmp_path / "b", _fp8), "leaves out, first .*_scale_inv")


@pytest.mark.parametrize("method", ["gptq", "awq", "compressed-tensors", "aqlm"])
def test_quantised_checkpoints_that_this_machine_cannot_load(tmp_path: Path, method: str) -> None:
    """S16: one line that names what is missing."""
    config = {"quant_method": method, "bits": 4, "group_size": 32, "format": "pack-quantized"}
    refused(altered(tmp_path, quantization_config=config), "cannot be loaded on this machine|cannot load")


@pytest.mark.parametrize("stated", [{"quant_method": "modelopt"}, {"weird": 1}])
def test_a_method_that_transformers_leaves_out(tmp_path: Path, stated: dict[str, Any]) -> None:
    """S16: it would take the packed numbers for weights."""
    refused(altered(tmp_path, quantization_config=stated), "is quantised as .*, which the installed transf")


def test_weights_that_the_dtype_cannot_hold(tmp_path: Path) -> None:
    """S10: float16 makes infinities of them."""
    folder = altered(tmp_path, lambda tensors: tensors[f"{Q_PROJ}.weight"][0].fill_(1e5))
    refused(folder, f"weights in float16 that are not finite, first {Q_PROJ}.weight", dtype="float16")
    assert load_local(folder).info.dtype == "float32"


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    """Ids past the embedding; special tokens past it stay, as Gemma 3's text models have one for images."""
    _, tokenizer = tiny_model("llama", 0)
    save_tiny(tmp_path)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.save_pretrained(tmp_path)
    assert len(load_local(tmp_path).tokenizer) > load_local(tmp_path).spec.vocab_size
    tokenizer.add_tokens(["zyzzyva"])
    tokenizer.save_pretrained(tmp_path)
    refused(tmp_path, "has 1 ids past the model's [0-9]+ embeddings, first [0-9]+")


@pytest.mark.parametrize(
    "broken",
    [
        lambda d: (d / "config.json").write_text("[1, 2]"),
        lambda d: (d / "config.json").write_text('{"model_type": "llama", "num_hidden_layers": "three"}'),
        lambda d: (d / "config.json").write_bytes(b"\xff\xfe"),
        lambda d: (d / "tokenizer.json").write_text("{}"),
        lambda d: (d / "model.safetensors.index.json").write_text("{}"),
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, broken: Callable[[Path], object]) -> None:
    save_tiny(tmp_path)
    broken(tmp_path)
    if (tmp_path / "model.safetensors.index.json").is_file():
        (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    with pytest.raises(PkvError) as caught:
        load_local(tmp_path)
    assert "\n" not in str(caught.value)


def test_weight_edits_of_a_mixture_of_experts(tmp_path: Path) -> None:
    """T20: refused after 51 s; now by its configuration, before weights are read."""
    save_tiny(tmp_path / "m", "gpt-oss")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"never read")
    config = load_catalogue_entry("local", path=str(tmp_path / "m"), device="cpu")
    with pytest.raises(PkvError, match=r"cannot be edited: .*; set model to .* or edit this one's cache"):
        find("weight_edits").run(model=config, results_dir=tmp_path / "results")
    with pytest.raises(PkvError, match="set model.quantise_4bit=false"):
        require_dense(load_catalogue_entry("qwen3-8b", quantise_4bit=True))
    shutil.rmtree(tmp_path / "m")
    save_tiny(tmp_path / "m", "qwen3")
    require_dense(config)


def test_a_multimodal_checkpoint_whose_text_part_has_weights_too_many(tmp_path: Path) -> None:
    """T17: parts for images are left out, biases of the text part are not."""
    text, tokenizer = tiny_model("gemma3", 0)
    inner = {k: v for k, v in text.config.to_dict().items() if k not in ("model_type", "architectures")}
    small: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    vision = SiglipVisionConfig(**small, image_size=28, patch_size=14)
    whole = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=Gemma3TextConfig(**inner), vision_config=vision, mm_tokens_per_image=4)
    )
    whole.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert isinstance(load_local(tmp_path).model, type(AutoModelForCausalLM.from_config(text.config)))
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    name = next(n for n in tensors if "language" in n and n.endswith("0.self_attn.q_proj.weight"))
    tensors[name.replace("weight", "bias")] = torch.ones(64)
    save_file(tensors, file, metadata={"format": "pt"})
    refused(tmp_path, r"leaves out, first model\.layers\.0\.self_attn\.q_proj\.bias")
