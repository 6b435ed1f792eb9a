"""Adapters that cannot be merged into what peft computes unmerged: the values of peft, or one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import merge_adapter
from pkv_interp.models.tiny import tiny_model

IDS = torch.tensor([[1, 300, 400, 500, 350, 600]])


def trained(folder: Path, family: str = "llama", **lora: Any) -> Path:
    """An adapter all of whose trained tensors were changed, saved by peft."""
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"]}
    wrapped: Any = get_peft_model(
        tiny_model(family, 0)[0], LoraConfig(task_type="CAUSAL_LM", **options | lora)
    )
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    wrapped.save_pretrained(folder)
    return folder


def without(folder: Path, part: str) -> Path:
    """The adapter without the tensors whose names have ``part``."""
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    kept = {name: tensor for name, tensor in tensors.items() if part not in name}
    assert len(kept) < len(tensors)
    save_file(kept, file)
    return folder


def stating(folder: Path, **keys: Any) -> Path:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))
    return folder


def with_nan(folder: Path) -> Path:
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] = float("nan")
    save_file(tensors, file)
    return folder


def refused(folder: Path, match: str, family: str = "llama") -> None:
    with pytest.raises(PkvError, match=match) as caught:
        merge_adapter(tiny_model(family, 0)[0], folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("family", "lora"),
    [
        ("gemma2", {}),
        ("llama", {"target_modules": ["embed_tokens", "lm_head", "q_proj"]}),
        ("llama", {"modules_to_save": ["lm_head", "norm"]}),
        ("gemma3", {"modules_to_save": ["lm_head"]}),
        ("llama", {"trainable_token_indices": [300, 400]}),
        ("gpt-oss", {"bias": "all", "target_modules": ["q_proj"]}),
        ("llama", {"use_dora": True, "rank_pattern": {"q_proj": 2}}),
    ],
)
def test_what_an_adapter_trains_is_merged(tmp_path: Path, family: str, lora: dict[str, Any]) -> None:
    """The right values are those of peft's unmerged model."""
    trained(tmp_path, family, **lora)
    merged = merge_adapter(tiny_model(family, 0)[0], tmp_path)[0]
    plain, base = tiny_model(family, 0)[0], tiny_model(family, 0)[0]
    unmerged = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    with torch.no_grad():
        want = unmerged(IDS).logits
        assert (merged(IDS).logits - want).abs().max() < 1e-4
        assert (plain(IDS).logits - want).abs().max() > 0.1


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_of_two_tied_modules(tmp_path: Path, target: str, dtype: torch.dtype) -> None:
    """Merging changed both, and logits were off by 17 to 33."""
    trained(tmp_path, "gemma3", target_modules=[target, "q_proj"])
    with pytest.raises(
        PkvError, match=f"trains {target} of Gemma3ForCausalLM, where embed_tokens and lm_head"
    ):
        merge_adapter(tiny_model("gemma3", 0)[0].to(dtype), tmp_path)  # type: ignore[arg-type]


def test_a_merge_that_is_not_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the cause: here a layer whose merge loses half of its change."""
    from peft.tuners.lora.layer import Linear

    trained(tmp_path)
    whole = Linear.get_delta_weight
    monkeypatch.setattr(Linear, "get_delta_weight", lambda self, adapter: whole(self, adapter) / 2)
    refused(tmp_path, "gives other logits than unmerged, off by")


@pytest.mark.parametrize(
    ("family", "lora", "part", "match"),
    [
        ("gpt-oss", {"bias": "all", "target_modules": ["q_proj"]}, "bias", r"lacks \d+ tensors .*bias"),
        ("llama", {"modules_to_save": ["lm_head"]}, "lm_head", r"lacks 1 tensors .*lm_head\.weight"),
        ("llama", {"modules_to_save": ["norm"]}, "model.norm", r"lacks 1 tensors .*norm\.weight"),
        ("llama", {"trainable_token_indices": [300]}, "token", r"lacks 1 tensors .*trainable_tokens"),
        ("llama", {}, "lora_B", "disagree on .*lora_B"),
        ("llama", {"use_dora": True}, "magnitude", "lora_magnitude_vector"),
    ],
)
def test_trained_tensors_that_the_file_lacks(
    tmp_path: Path, family: str, lora: dict[str, Any], part: str, match: str
) -> None:
    """Biases were left as the base model's in silence, modules and tokens ended in a KeyError."""
    refused(without(trained(tmp_path, family, **lora), part), match, family)


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"mystery_scale": 80}, "mystery_scale = 80, which the installed peft does not know"),
        ({"r": "four"}, "r = 'four', not a whole number above 0"),
        ({"r": 0}, "r = 0, not"),
        ({"lora_alpha": True}, "lora_alpha = True, not a number"),
        ({"use_dora": "false"}, "use_dora = 'false', not true or false"),
        ({"bias": "some"}, "bias = 'some', not none, all or lora_only"),
        ({"alpha_pattern": {"q_proj": "8"}}, "alpha_pattern = "),
        ({"peft_type": "WHAT"}, "is WHAT, not LoRA"),
        ({"peft_type": None}, "is None, not LoRA"),
        ({"target_modules": 5}, "adapter"),
        ({"task_type": "POETRY"}, "POETRY"),
    ],
)
def test_keys_and_values_that_cannot_be_followed(tmp_path: Path, keys: dict[str, Any], match: str) -> None:
    """peft drops unknown keys with a warning, and fails over values wherever they are used first."""
    refused(stating(trained(tmp_path), **keys), match)


def test_keys_of_other_versions_that_are_off(tmp_path: Path) -> None:
    merge_adapter(
        tiny_model("llama", 0)[0], stating(trained(tmp_path), merge_weights=False, enable_lora=None)
    )


@pytest.mark.parametrize(
    ("broken", "match"),
    [
        (lambda folder: (folder / "adapter_config.json").write_bytes(b"nope"), "cannot be read as JSON"),
        (
            lambda folder: (folder / "adapter_config.json").write_bytes(b"[1]"),
            "holds .* and no table of keys",
        ),
        (lambda folder: (folder / "adapter_config.json").write_bytes("{}".encode("utf-16")), "read as JSON"),
        (lambda folder: (folder / "adapter_config.json").write_bytes(b"{}"), "is None, not LoRA"),
        (with_nan, r"weights that are not finite, first .*lora_A"),
    ],
)
def test_broken_folders_are_one_line(tmp_path: Path, broken: Callable[[Path], object], match: str) -> None:
    """Each was a traceback."""
    broken(trained(tmp_path))
    refused(tmp_path, match)


def test_a_bias_of_its_own(tmp_path: Path) -> None:
    """lora_bias has no place in a layer without a bias, which showed at the merge alone."""
    refused(trained(tmp_path, lora_bias=True), "cannot be merged into LlamaForCausalLM: .*lora_bias")
