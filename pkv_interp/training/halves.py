"""Frozen weights that are held in bfloat16, for trainings whose matrix products run in it.

Under autocast a frozen weight is cast at each use, and no cast is kept. Held as it would be cast, it gives
the same product without that work.
"""

from typing import Any

import torch
from jaxtyping import Float
from peft import PeftModel
from torch import Tensor, nn


class HalfLinear(nn.Module):
    """A frozen linear layer that multiplies in bfloat16; what goes out has the type of what came in."""

    def __init__(self, layer: nn.Linear) -> None:
        """Hold another layer's weights, rounded."""
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.weight = _frozen(layer.weight)
        self.bias = None if layer.bias is None else _frozen(layer.bias)

    def forward(self, x: Float[Tensor, "*n inner"]) -> Float[Tensor, "*n outer"]:
        """The product; under autocast in bfloat16, as that of any linear layer."""
        out = nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)
        return out if torch.is_autocast_enabled(x.device.type) else out.to(x.dtype)


def hold_halves(model: PeftModel) -> None:
    """Hold the frozen weights under the adapter's layers in bfloat16; everything else stays as it is.

    Args:
        model: is changed; it must not share weights with a model that is still needed.
    """
    for module in model.modules():
        adapted: Any = module
        if type(getattr(module, "base_layer", None)) is nn.Linear:
            adapted.base_layer = HalfLinear(adapted.base_layer)


def _frozen(tensor: Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().to(torch.bfloat16), requires_grad=False)
