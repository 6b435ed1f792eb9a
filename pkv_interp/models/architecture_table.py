"""The table of tiny architectures: one of each kind of cache that transformers has, by configuration.

They are for the code and not for a mechanism: what the suite says that it serves or refuses is tried on them.
Nothing here imports torch, so that settings can name rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pkv_interp.errors import PkvError, suggestion

#: Positions of a window and of a chunk: less than the prompts have that are run over the table.
WINDOW = 16
POSITIONS = 512
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": POSITIONS,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LATENT = {
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "head_dim": 4,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "n_shared_experts": 1,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_SLIDING = {"sliding_window": WINDOW, "layer_types": ["sliding_attention", "full_attention"]}
_MAMBA = {
    "mamba_n_heads": 4,
    "mamba_d_head": 16,
    "mamba_d_state": 8,
    "mamba_d_conv": 4,
    "mamba_chunk_size": 8,
}
_LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 1e4,
    "original_max_position_embeddings": POSITIONS // 2,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [2.0, 2.3, 2.6, 2.9],
}


@dataclass(frozen=True)
class Architecture:
    """One row of the table.

    Attributes:
        name: as docs and records call it.
        model_type: as transformers calls it.
        cache: what is special about its cache, in words.
        special: what its configuration has beyond the common shape.
    """

    name: str
    model_type: str
    cache: str
    special: dict[str, Any] = field(default_factory=dict)


_ROWS = (
    Architecture("llama", "llama", "grouped queries"),
    Architecture("qwen3", "qwen3", "norm on queries and keys"),
    Architecture(
        "gemma2", "gemma2", "sliding and full layers, softcap", {**_SLIDING, "query_pre_attn_scalar": 8}
    ),
    Architecture(
        "gemma3",
        "gemma3_text",
        "sliding and full layers, a theta of each",
        {**_SLIDING, "query_pre_attn_scalar": 8},
    ),
    Architecture("mistral", "mistral", "sliding window", {"sliding_window": WINDOW}),
    Architecture("phi3", "phi3", "one projection", {"original_max_position_embeddings": POSITIONS}),
    Architecture(
        "gpt-oss",
        "gpt_oss",
        "sinks, sliding and full layers, experts",
        {**_SLIDING, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    Architecture(
        "phi3-longrope",
        "phi3",
        "frequencies follow the length",
        {"rope_parameters": _LONGROPE, "original_max_position_embeddings": POSITIONS // 2},
    ),
    Architecture("qwen2", "qwen2", "biases"),
    Architecture("qwen2-moe", "qwen2_moe", "experts", {**_EXPERTS, "shared_expert_intermediate_size": 16}),
    Architecture("qwen3-moe", "qwen3_moe", "experts", _EXPERTS),
    Architecture("olmo2", "olmo2", "norm after the attention"),
    Architecture("glm4", "glm4", "partial interleaved rotation", {"partial_rotary_factor": 0.5}),
    Architecture("cohere2", "cohere2", "sliding layers, full ones without rotation", _SLIDING),
    Architecture("smollm3", "smollm3", "a layer without rotation", {"no_rope_layers": [1, 0]}),
    Architecture("stablelm", "stablelm", "partial rotation, LayerNorm", {"partial_rotary_factor": 0.5}),
    Architecture(
        "granite",
        "granite",
        "scaled scores and residuals",
        {"attention_multiplier": 0.2, "residual_multiplier": 0.5, "logits_scaling": 4.0},
    ),
    Architecture("gemma-multi-query", "gemma", "one key and value head", {"num_key_value_heads": 1}),
    Architecture(
        "deepseek-v2",
        "deepseek_v2",
        "latent keys and values (MLA)",
        {**_LATENT, "q_lora_rank": None, "topk_method": "greedy"},
    ),
    Architecture(
        "deepseek-v3", "deepseek_v3", "latent keys and values (MLA)", {**_LATENT, "q_lora_rank": 16}
    ),
    Architecture(
        "llama4",
        "llama4_text",
        "chunks; a full layer without rotation, queries scaled by position",
        {
            "attention_chunk_size": WINDOW,
            "intermediate_size_mlp": 32,
            "num_local_experts": 2,
            "no_rope_layers": [1, 0],
            "floor_scale": 128,
            "moe_layers": [],
        },
    ),
    Architecture(
        "gpt2",
        "gpt2",
        "learned positions",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS},
    ),
    Architecture("bloom", "bloom", "ALiBi", {"n_layer": 2, "n_head": 4}),
    Architecture("mamba", "mamba", "recurrent state", {"state_size": 8}),
    Architecture(
        "mamba2",
        "mamba2",
        "recurrent state",
        {"state_size": 8, "num_heads": 4, "head_dim": 16, "n_groups": 1, "chunk_size": 8},
    ),
    Architecture("falcon-mamba", "falcon_mamba", "recurrent state", {"state_size": 8}),
    Architecture(
        "falcon-h1",
        "falcon_h1",
        "attention and a recurrent state in every layer",
        {**_MAMBA, "mamba_d_ssm": 64, "mamba_n_groups": 1},
    ),
    Architecture(
        "qwen3-next",
        "qwen3_next",
        "recurrent and full layers",
        {
            **_EXPERTS,
            "shared_expert_intermediate_size": 16,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
    ),
    Architecture(
        "lfm2",
        "lfm2",
        "convolutional and full layers",
        {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    ),
    Architecture(
        "jamba",
        "jamba",
        "recurrent and full layers, experts",
        {
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "expert_layer_period": 2,
            "num_experts": 2,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
            "use_mamba_kernels": False,
        },
    ),
    Architecture(
        "granite4",
        "granitemoehybrid",
        "recurrent and full layers",
        {
            **_MAMBA,
            "layer_types": ["mamba", "attention"],
            "mamba_expand": 2,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "shared_intermediate_size": 32,
        },
    ),
)

ARCHITECTURES: dict[str, Architecture] = {row.name: row for row in _ROWS}


def architecture(name: str) -> Architecture:
    """A row of the table by its name.

    Raises:
        PkvError: there is none of that name.
    """
    if name not in ARCHITECTURES:
        raise PkvError(f"there is no tiny architecture '{name}'", suggestion(name, ARCHITECTURES))
    return ARCHITECTURES[name]
