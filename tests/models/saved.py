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


_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def save_gguf(file: Path, model: PreTrainedModel, tokenizer: Any, kind: str = "F32") -> None:
    """Write a tiny llama as GGUF, matrices as ``kind`` ("F32", "F16" or "Q4_1") and norms as F32."""
    config: Any = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type({"F32": 0, "F16": 1, "Q4_1": 3}[kind])
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

    state = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}
    stored = {
        "token_embd.weight": state["model.embed_tokens.weight"],
        "output_norm.weight": state["model.norm.weight"],
        "output.weight": state["lm_head.weight"],
    }
    for layer in range(config.num_hidden_layers):
        for theirs, ours in _NAMES.items():
            weight = state[f"model.layers.{layer}.{theirs}.weight"]
            if ours in ("attn_q", "attn_k"):
                heads = config.num_attention_heads if ours == "attn_q" else config.num_key_value_heads
                weight = _interleave(weight, heads)
            stored[f"blk.{layer}.{ours}.weight"] = weight
    format_ = gguf.GGMLQuantizationType[kind]
    for name, weight in stored.items():
        chosen = format_ if weight.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(weight), chosen), raw_dtype=chosen)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
