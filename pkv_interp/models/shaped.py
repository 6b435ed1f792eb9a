"""Random models of any depth and width, on which costs are measured; nothing is said of what they compute."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny import INIT_RANGE
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer


def shaped_model(
    n_layers: int, n_heads: int, *, head_dim: int = 16, positions: int = 4096, seed: int = 0
) -> LoadedModel:
    """A Llama with random weights, two query heads to a KV head, on the CPU in float32.

    Args:
        n_layers: blocks.
        n_heads: query heads, an even number; d_model is ``n_heads * head_dim`` and the MLP twice as wide.
        head_dim: width of a head.
        positions: the most tokens of a prompt.
        seed: of the weights; the global random state is left as it was.

    Raises:
        PkvError: a size under one, or an odd number of heads.
    """
    if min(n_layers, n_heads, head_dim, positions) < 1 or n_heads % 2:
        raise PkvError(
            f"no model has {n_layers} layers of {n_heads} heads of {head_dim} here",
            "give positive numbers, of heads an even one",
        )
    tokenizer = tiny_tokenizer("llama")
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": n_heads * head_dim,
        "intermediate_size": 2 * n_heads * head_dim,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_heads // 2,
        "head_dim": head_dim,
        "max_position_embeddings": positions,
        "initializer_range": INIT_RANGE,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CONFIG_MAPPING["llama"](**shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    entry = load_catalogue_entry("tiny-llama", device="cpu", dtype="float32", seed=seed)
    return assemble(Opened(model.eval().requires_grad_(False), tokenizer), entry, place(entry))
