"""Tiny models with heads as wide as vLLM takes them, saved as checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from pkv_interp.models.tiny import tiny_model

WIDTH = 64


def wide(family: str, folder: Path, seed: int = 0) -> tuple[PreTrainedModel, Any]:
    """A random model of a family with heads of 64, its tokenizer, and both as a checkpoint."""
    model, tokenizer = tiny_model(family)
    settings: dict[str, Any] = model.config.to_dict() | {"head_dim": WIDTH, "query_pre_attn_scalar": WIDTH}
    config = type(model.config)(**settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval().requires_grad_(False)
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return made, tokenizer
