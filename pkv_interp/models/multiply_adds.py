"""How many multiply-adds the parts of a block take for one token."""

from __future__ import annotations

from typing import Any

from pkv_interp.models.load import LoadedModel


def mlp_multiply_adds(loaded: LoadedModel, layer: int) -> int:
    """Multiply-adds of one layer's MLP for one token; of experts, as many as a token is sent to.

    Args:
        loaded: the model.
        layer: index of the layer.
    """
    config: Any = loaded.model.config
    total, stacked = 0, 0
    for module in loaded.model.model.layers[layer].mlp.modules():
        if hasattr(module, "in_features"):  # also where the weights are held quantised, and packed
            total += module.in_features * module.out_features
            continue
        for name, weight in module.named_parameters(recurse=False):
            if weight.ndim == 3:
                stacked += weight.numel()
            elif weight.ndim == 2 and not name.endswith("bias"):  # a router
                total += weight.numel()
    if stacked:
        experts = getattr(config, "num_local_experts", None) or config.num_experts
        total += stacked * config.num_experts_per_tok // experts
    return total
