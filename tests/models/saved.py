"""Small checkpoints, adapters and GGUF files written to disk for the loader's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.models.tiny import tiny_model


def save_tiny(directory: Path, family: str = "llama", seed: int = 0) -> PreTrainedModel:
    """Save a tiny model and its tokenizer as a checkpoint, and return the model."""
    model, tokenizer = tiny_model(family, seed)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model


def load_local(path: Path, **overrides: Any) -> LoadedModel:
    """Load a directory through the catalogue entry "local", on the CPU in float32."""
    return load(
        load_catalogue_entry("local", **{"path": str(path), "device": "cpu", "dtype": "float32"} | overrides)
    )


def save_adapter(
    directory: Path, family: str = "llama", dtype: torch.dtype = torch.float16, **lora: Any
) -> Any:
    """Write a LoRA adapter with random weights as peft does, and return the unmerged peft model."""
    model, _ = tiny_model(family, 0)
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    wrapped: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options | lora))
    generator = torch.Generator().manual_seed(9)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            drawn = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.data = drawn.to(dtype).float()
    stored = {k: v.to(dtype) for k, v in wrapped.state_dict().items() if "lora_" in k}
    wrapped.save_pretrained(directory, state_dict=stored)
    return wrapped.eval()


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    # llama.cpp stores the two halves of each rotary pair side by side; transformers undoes it.
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


#: Names of architectures in GGUF files where they differ.
_ARCHITECTURES = {"gemma3_text": "gemma3", "gpt_oss": "gpt-oss"}


def save_gguf(
    file: Path,
    model: PreTrainedModel,
    tokenizer: Any,
    kind: str = "F32",
    *,
    metadata: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a tiny dense model as GGUF as llama.cpp's converter does, with other metadata where given.

    Args:
        file: to write.
        model: Llama, Qwen3, Gemma 2, Gemma 3 or Phi-3.
        tokenizer: of the model; None leaves it out.
        kind: of the matrices, "F32", "F16" or "Q4_1"; norms are F32.
        metadata: keys without the architecture's name, or whole ones that begin with "general.".
        tensors: further tensors by name.
    """
    config: Any = model.config
    architecture: str = _ARCHITECTURES.get(str(config.model_type), str(config.model_type))
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    writer = gguf.GGUFWriter(str(file), architecture)
    keys: dict[str, Any] = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": head_dim,
        "rope.freq_base": float(rope.get("full_attention", rope)["rope_theta"]),
        "vocab_size": config.vocab_size,
        "general.file_type": {"F32": 0, "F16": 1, "Q4_1": 3}[kind],
    }
    for key, value in (keys | (metadata or {})).items():
        _add(writer, key if key.startswith("general.") else f"{architecture}.{key}", value)
    writer.add_pad_token_id(int(config.pad_token_id or 0))
    if tokenizer is not None:
        _add_tokenizer(writer, tokenizer)
    (named,) = (arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(named, config.num_hidden_layers)
    stored: dict[str, np.ndarray] = {}
    for name, tensor in model.state_dict().items():
        weight = tensor.float().numpy()
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            weight = _interleave(weight, heads)
        if architecture.startswith("gemma") and "norm" in name:
            weight = weight + 1
        stored[str(names.get_name(name, try_suffixes=(".weight", ".bias")))] = weight
    format_ = gguf.GGMLQuantizationType[kind]
    for name, weight in (stored | (tensors or {})).items():
        chosen = format_ if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(weight), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Any) -> None:
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    special = {entry["content"] for entry in backend["added_tokens"]}
    tokens = sorted(backend["model"]["vocab"], key=backend["model"]["vocab"].__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(merge) for merge in backend["model"]["merges"]])
    writer.add_bos_token_id(int(tokenizer.bos_token_id or 0))
    writer.add_eos_token_id(int(tokenizer.eos_token_id or 0))
    writer.add_chat_template(str(tokenizer.chat_template))


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)
