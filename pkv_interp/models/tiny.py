"""Tiny models with random weights, one per architecture, for tests of the code and not of a mechanism."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.errors import PkvError
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

WINDOW = 64
MAX_POSITIONS = 4096
HEAD_DIM = 16
# Large enough for one patched position to move the logits visibly.
INIT_RANGE = 0.15

#: Per family: name in transformers, has a sliding window, and what differs from the common shape.
_FAMILIES: dict[str, tuple[str, bool, dict[str, Any]]] = {
    "llama": ("llama", False, {"head_dim": HEAD_DIM}),
    "qwen3": ("qwen3", False, {"head_dim": HEAD_DIM}),
    "gemma2": ("gemma2", True, {"head_dim": HEAD_DIM, "query_pre_attn_scalar": HEAD_DIM}),
    "gemma3": (
        "gemma3_text",
        True,
        # The pattern of 3 puts two sliding layers before each full one.
        {
            "head_dim": HEAD_DIM,
            "query_pre_attn_scalar": HEAD_DIM,
            "num_hidden_layers": 6,
            "sliding_window_pattern": 3,
        },
    ),
    "mistral": ("mistral", True, {"head_dim": HEAD_DIM}),
    "phi3": ("phi3", False, {"original_max_position_embeddings": MAX_POSITIONS}),
    "gpt-oss": (
        "gpt_oss",
        True,
        {"head_dim": HEAD_DIM, "intermediate_size": 64, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
}

FAMILIES: tuple[str, ...] = tuple(_FAMILIES)
SLIDING_FAMILIES: tuple[str, ...] = tuple(name for name, (_, sliding, _) in _FAMILIES.items() if sliding)


def tiny_model(
    family: str, seed: int = 0, *, window: int | None = None, attention: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Build a random model of ``family`` and its tokenizer.

    3 layers (gemma3: 6), 4 heads over 2 KV heads of 16, d_model 64, float32, at most 4096 positions.
    The global random state is left as it was; the same seed gives the same weights.

    Args:
        family: one of ``FAMILIES``.
        seed: seed of the weights.
        window: positions a sliding layer sees (default 64); only for ``SLIDING_FAMILIES``.
        attention: "sdpa", "eager", or None for the architecture's own choice.

    Raises:
        PkvError: for an unknown family, a window on a family without, or attention it does not have.
    """
    if family not in _FAMILIES:
        raise PkvError(f"unknown tiny family '{family}'", f"use one of {', '.join(FAMILIES)}")
    model_type, sliding, special = _FAMILIES[family]
    if window is not None and not sliding:
        raise PkvError(f"tiny {family} has no sliding window", f"use one of {', '.join(SLIDING_FAMILIES)}")
    tokenizer = tiny_tokenizer(family)
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 4 * HEAD_DIM,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": MAX_POSITIONS,
        "initializer_range": INIT_RANGE,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **special,
    }
    if sliding:
        shape["sliding_window"] = WINDOW if window is None else window
    config = CONFIG_MAPPING[model_type](**shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=attention
            )
        except ValueError as error:
            raise PkvError(
                f"tiny {family} does not support attention '{attention}'", "set model.attention=auto"
            ) from error
    return model.eval().requires_grad_(False), tokenizer
