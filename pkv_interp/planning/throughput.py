"""How fast a machine works through blocks: given, or measured on a small random model in a few seconds."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from pkv_interp.measure.timing import seconds
from pkv_interp.planning.shape import Shape
from pkv_interp.planning.work import Work, prefill_work

#: Tokens of the forward that the rate is measured on.
TOKENS = 256
#: Widths beyond which a matrix multiplication is no faster, so that the probe stays small.
_WIDEST, _WIDEST_MLP = 2048, 6144
_LAYERS = 2


@dataclass(frozen=True)
class Throughput:
    """Multiply-adds per second, and seconds that a block costs beside them in every forward."""

    macs_per_second: float
    seconds_per_block: float

    def seconds(self, work: Work) -> float:
        """Time of some work, in seconds."""
        return work.macs / self.macs_per_second + work.blocks * self.seconds_per_block


@torch.no_grad()
def measured_throughput(
    shape: Shape, dtype: torch.dtype, device: torch.device, repeats: int = 5
) -> Throughput:
    """Time forwards of a random Llama of two blocks, as wide as the model up to a bound.

    One forward of many tokens gives the rate, one of a single token through blocks of hardly any width the
    cost of entering a block. Both are medians of ``repeats``, on the clock of ``measure.timing``.
    """
    width = min(shape.head_dim, 128)
    heads = max(1, min(shape.d_model, _WIDEST) // width)
    wide = _probe(heads * width, min(shape.mlp_width, _WIDEST_MLP), heads, dtype, device)
    narrow = _probe(32, 32, 1, dtype, device)
    block = _time(narrow, 1, device, repeats) / _LAYERS
    work = prefill_work(Shape.of(wide), TOKENS)
    took = _time(wide, TOKENS, device, repeats)
    return Throughput(work.macs / max(took - work.blocks * block, took / 10), block)


def _probe(
    d_model: int, inner: int, heads: int, dtype: torch.dtype, device: torch.device
) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=d_model,
        intermediate_size=inner,
        num_hidden_layers=_LAYERS,
        num_attention_heads=heads,
        num_key_value_heads=heads,
    )
    # The caller's random numbers are left as they are.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.device(device):
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
    nn.Module.to(model, dtype)
    return model.eval().requires_grad_(False)


def _time(model: LlamaForCausalLM, tokens: int, device: torch.device, repeats: int) -> float:
    ids = torch.arange(tokens, device=device)[None] % 64

    def forward() -> object:
        return model(input_ids=ids, use_cache=True, logits_to_keep=1)

    forward()
    return median(seconds(forward, device)[0] for _ in range(repeats))
