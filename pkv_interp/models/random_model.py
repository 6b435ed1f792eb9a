"""Random models of a given width, on which time and memory are measured; they decide nothing."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

#: Most positions that such a model serves.
POSITIONS = 16384
_HEAD_DIM = 64


def random_llama(d_model: int, n_layers: int, *, seed: int = 0, device: str = "cpu") -> LoadedModel:
    """A Llama in float32 with random weights, in the proportions of small published models.

    Heads of 64 (of half the width below 128), two query heads to a KV head, an MLP of 8/3 of the width, and
    the vocabulary of the tiny models.

    Args:
        d_model: width of the residual stream, a multiple of 64.
        n_layers: number of blocks.
        seed: of the weights; the caller's random numbers are left as they are.
        device: where it is put.
    """
    tokenizer: Any = tiny_tokenizer("llama")
    heads = max(2, d_model // _HEAD_DIM)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        intermediate_size=8 * d_model // 3,
        num_hidden_layers=n_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads // 2 if heads % 2 == 0 else 1,
        max_position_embeddings=POSITIONS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    asked = load_catalogue_entry("tiny-llama", device=device)
    nn.Module.eval(model).requires_grad_(False)
    return assemble(Opened(model, tokenizer), asked, place(asked))
