"""Ties of routers in a mixture of experts: where rounding, and not the text, says which experts run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Tie:
    """The closest choice of experts that was seen.

    Attributes:
        gap: least difference, over tokens and layers, of the router's logits of the last expert that is run
            and the first that is not; infinite where there was no router.
    """

    gap: float = float("inf")


@contextmanager
def closest_choice(model: Any) -> Iterator[Tie]:
    """Watch the routers of a model: two routes to one number need not choose the same experts at a tie.

    Args:
        model: its forwards are watched while the block lasts and are not changed.
    """
    tie = Tie()

    def look(module: Any, _args: Any, output: Any) -> None:
        logits = output[0] if isinstance(output, tuple) else output
        if isinstance(logits, Tensor) and logits.shape[-1] == _experts(module) > module.top_k:
            best = torch.topk(logits.detach().float(), module.top_k + 1, dim=-1).values
            tie.gap = min(tie.gap, float((best[..., -2] - best[..., -1]).min()))

    handles = [module.register_forward_hook(look) for module in routers(model)]
    try:
        yield tie
    finally:
        for handle in handles:
            handle.remove()


def routers(model: Any) -> list[nn.Module]:
    """The modules that choose experts; none for a dense model."""
    return [m for m in model.modules() if _experts(m) and isinstance(getattr(m, "top_k", None), int)]


def _experts(module: Any) -> int:
    """How many experts a module chooses from; 0 for one that only holds a router."""
    count = getattr(module, "num_experts", None) or getattr(module, "n_routed_experts", None)
    own = isinstance(getattr(module, "weight", None), Tensor)
    return count if isinstance(count, int) and own else 0
