"""How much arithmetic a piece of work is, so that its time can be held against it."""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop


def _attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of one attention call; the shapes are the tensors' own."""
    del out_shape
    return sdpa_flop(query, key, value)


def operations(work: Callable[[], object]) -> int:
    """Floating point operations of all matrix products and attention calls in the work.

    Attention is counted in full: what a causal kernel leaves out is counted as well. What is added, copied or
    normalised element by element is not counted.

    Args:
        work: run once, with the counter's overhead; do not time it.
    """
    flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    counter = FlopCounterMode(display=False, custom_mapping={flash: _attention})
    with counter:
        work()
    return counter.get_total_flops()
