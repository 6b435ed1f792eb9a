"""The linear MLP down projections that rank-one edits change, and what goes into and out of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError


def down_projections(model: PreTrainedModel) -> tuple[nn.Linear, ...]:
    """The down projection of every layer, in order.

    Raises:
        PkvError: a layer has no plain linear ``mlp.down_proj`` (a mixture of experts, quantised weights).
    """
    core: Any = model
    found = [getattr(layer.mlp, "down_proj", None) for layer in core.model.layers]
    plain: list[nn.Linear] = []
    for index, module in enumerate(found):
        if type(module) is not nn.Linear or not module.weight.is_floating_point():
            mlp = type(core.model.layers[index].mlp).__name__
            raise PkvError(
                f"layer {index} of {type(model).__name__} has no plain linear down projection ({mlp})",
                "use an unquantised model with a gated MLP: Llama, Qwen3, Gemma, Mistral or Phi-3",
            )
        plain.append(module)
    return tuple(plain)


def down_projection(model: PreTrainedModel, layer: int) -> nn.Linear:
    """The down projection of one layer.

    Raises:
        PkvError: no such layer, or its down projection is not a plain linear map.
    """
    modules = down_projections(model)
    if not 0 <= layer < len(modules):
        raise PkvError(f"layer {layer} is out of range", f"use 0 to {len(modules) - 1}")
    return modules[layer]


@contextmanager
def inputs_of(modules: Sequence[nn.Module]) -> Iterator[list[Float[Tensor, "batch tokens d_in"]]]:
    """Inputs of the modules in the last forward that ran inside the block, in the order of ``modules``."""
    held: list[Tensor] = [torch.empty(0)] * len(modules)

    def hold(index: int) -> Any:
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            held[index] = args[0].detach()

        return hook

    handles = [module.register_forward_pre_hook(hold(i)) for i, module in enumerate(modules)]
    try:
        yield held
    finally:
        for handle in handles:
            handle.remove()
