"""Tiny models of architectures beyond the generic table, each with a habit that readings trip over."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

WINDOW = 8
#: Per name: architecture in transformers, and what differs from the common shape.
READ: dict[str, tuple[str, dict[str, Any]]] = {
    "norm after": ("olmo2", {}),
    "norm after, windows": ("olmo3", {"sliding_window": WINDOW}),
    "norms on both sides": ("glm4", {}),
    "scaled residuals and logits": (
        "granite",
        {
            "logits_scaling": 8.0,
            "residual_multiplier": 0.22,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.03,
        },
    ),
    "LayerNorm, window": ("starcoder2", {"sliding_window": WINDOW}),
    "LayerNorm of 1 + weight": ("nemotron", {}),
    "norm without weight": ("olmo", {}),
    "parallel": ("cohere", {"logit_scale": 0.0625}),
    "parallel, windows": ("cohere2", {"sliding_window": WINDOW}),
    "parallel or not": ("stablelm", {"use_parallel_residual": True}),
    "layers without rotation": ("smollm3", {}),
    "window stated, not used": ("llama", {"sliding_window": 32}),
    "window switched off": ("qwen2", {"sliding_window": WINDOW, "use_sliding_window": False}),
    "windows from a layer on": (
        "qwen2",
        {"sliding_window": WINDOW, "use_sliding_window": True, "max_window_layers": 2},
    ),
}
_LATENT = {
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 16,
}
#: As above, with words of the refusal.
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "layers share caches": (
        "gemma3n_text",
        {
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "sliding_window": WINDOW,
            "num_kv_shared_layers": 2,
            "hidden_size_per_layer_input": 16,
            "vocab_size_per_layer_input": 4096,
        },
        "share a cache",
    ),
    "latent attention": ("minicpm3", _LATENT, "MLA"),
    "latent attention, experts": (
        "deepseek_v3",
        {**_LATENT, "n_routed_experts": 4, "n_group": 1, "topk_group": 1, "moe_intermediate_size": 32},
        "MLA",
    ),
    "heads of two widths": (
        "gemma4_text",
        {
            "sliding_window": WINDOW,
            "global_head_dim": 32,
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 64,
        },
        "several shapes",
    ),
    "gated heads": ("afmoe", {"sliding_window": WINDOW}, "heads of AfmoeForCausalLM are not those"),
    "differential attention": ("diffllama", {}, "heads of DiffLlamaForCausalLM are not those"),
    "norm before o_proj": ("bitnet", {}, "heads of BitNetForCausalLM are not those"),
    "other names": ("gpt_neox", {}, "no module 'model.embed_tokens'"),
    "other names, parallel": ("phi", {}, "no module 'model.norm'"),
    "chunks": ("llama4_text", {"attention_chunk_size": 8, "intermediate_size_mlp": 96}, "no module 'mlp'"),
}


def built(architecture: str, **special: Any) -> PreTrainedModel:
    """A model of ``architecture``, built once per set of arguments; tests must leave it as it was."""
    return _built(architecture, json.dumps(special, sort_keys=True))


@cache
def _built(architecture: str, special: str) -> PreTrainedModel:
    """A random model of four layers whose norms, biases and gates are random as well, so that they show."""
    shape: dict[str, Any] = {
        "vocab_size": len(tiny_tokenizer("qwen3")),
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
    }
    config = CONFIG_MAPPING[architecture](**shape | json.loads(special))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
            else:
                parameter.copy_(0.15 * torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


def loaded_of(model: PreTrainedModel) -> LoadedModel:
    """The model as the loader would hand it out."""
    config = load_catalogue_entry("tiny-qwen3", device="cpu")
    return assemble(Opened(model, tiny_tokenizer("qwen3")), config, place(config))


@cache
def read(name: str) -> LoadedModel:
    """One of ``READ``, loaded once."""
    architecture, special = READ[name]
    return loaded_of(built(architecture, **special))
