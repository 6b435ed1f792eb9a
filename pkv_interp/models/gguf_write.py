"""A model as a GGUF file, as llama.cpp's converter writes it: for engines that read no other files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError

#: Names of architectures in GGUF files where they differ.
_ARCHITECTURES = {"gemma3_text": "gemma3", "gpt_oss": "gpt-oss"}
#: Kinds of matrices, with the number by which a file says so.
KINDS = {"F32": 0, "F16": 1, "Q4_1": 3}


def write_gguf(
    file: Path,
    model: PreTrainedModel,
    tokenizer: Any,
    kind: str = "F32",
    *,
    metadata: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
) -> None:
    """Write a dense model with weights as they are in memory, an adapter merged into them included.

    Args:
        file: to write.
        model: Llama, Qwen3, Gemma 2, Gemma 3 or Phi-3.
        tokenizer: of the model, byte-level BPE; None leaves it out.
        kind: of the matrices, one of ``KINDS``; norms are F32.
        metadata: keys without the architecture's name, or whole ones that begin with "general.".
        tensors: further tensors by name.

    Raises:
        PkvError: an architecture or a kind that is not known here.
    """
    config: Any = model.config
    architecture: str = _ARCHITECTURES.get(str(config.model_type), str(config.model_type))
    if kind not in KINDS or architecture not in gguf.MODEL_ARCH_NAMES.values():
        raise PkvError(f"{architecture} cannot be written as GGUF in {kind}", f"use {', '.join(KINDS)}")
    writer = gguf.GGUFWriter(str(file), architecture)
    for key, value in (_metadata(config, kind) | (metadata or {})).items():
        _add(writer, key if key.startswith("general.") else f"{architecture}.{key}", value)
    writer.add_pad_token_id(int(config.pad_token_id or 0))
    if tokenizer is not None:
        _add_tokenizer(writer, tokenizer)
    format_ = gguf.GGMLQuantizationType[kind]
    for name, weight in (_weights(model, architecture) | (tensors or {})).items():
        chosen = format_ if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(weight), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _metadata(config: Any, kind: str) -> dict[str, Any]:
    """What an engine must know beside the weights."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    rope = config.rope_parameters
    return {
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
        "general.file_type": KINDS[kind],
    }


def _weights(model: PreTrainedModel, architecture: str) -> dict[str, np.ndarray]:
    """Tensors by their names in GGUF files; a tied head is left out."""
    config: Any = model.config
    (named,) = (arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(named, config.num_hidden_layers)
    stored: dict[str, np.ndarray] = {}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = tensor.float().cpu().numpy()
        if architecture == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            weight = _interleave(weight, heads)
        if architecture.startswith("gemma") and "norm" in name:
            weight = weight + 1
        stored[str(names.get_name(name, try_suffixes=(".weight", ".bias")))] = weight
    return stored


def _interleave(weight: np.ndarray, heads: int) -> np.ndarray:
    # llama.cpp stores the two halves of each rotary pair side by side; transformers undoes it.
    return weight.reshape(heads, 2, -1, weight.shape[1]).swapaxes(1, 2).reshape(weight.shape)


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
