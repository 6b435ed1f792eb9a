"""The linear MLP down projections that rank-one edits change, and what goes into and out of them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from pkv_interp.cache.forward import first_positions, fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.skeleton import skeleton


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
                "set model to an unquantised one with a gated MLP (Llama, Qwen3, Gemma, Mistral, Phi-3), "
                "or edit this one's cache",
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


def require_dense(config: ModelConfig) -> None:
    """Refuse a model that weights cannot be edited in, by its configuration alone.

    Raises:
        PkvError: it is to be held quantised, or a layer has no plain down projection.
    """
    if config.quantise_4bit:
        raise PkvError("weight editing needs plain weights", "set model.quantise_4bit=false")
    modules = skeleton(config)
    try:
        down_projections(modules)
    except PkvError as error:
        raise PkvError(f"weights of {config.name} cannot be edited: {error.cause}", error.hint) from error


class _Read(Exception):
    """Everything that was asked for has been read."""


@torch.no_grad()
def inputs_of(
    model: PreTrainedModel, layers: Sequence[int], ids: Sequence[int]
) -> list[Float[Tensor, "tokens d_ff"]]:
    """What the down projections of some layers read in a prompt, float32; nothing above them is run.

    Args:
        model: is read and not changed.
        layers: whose inputs are wanted.
        ids: the prompt.

    Raises:
        PkvError: no layer, or one without a plain down projection.
    """
    modules = [down_projection(model, layer) for layer in layers]
    if not modules:
        raise PkvError("no layer was asked for", "name at least one")
    held: dict[int, Tensor] = {}

    def hold(layer: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def hook(_module: nn.Module, args: tuple[Tensor, ...]) -> None:
            held[layer] = args[0][0].float()
            if len(held) == len(set(layers)):
                raise _Read

        return hook

    handles = [m.register_forward_pre_hook(hold(la)) for la, m in zip(layers, modules, strict=True)]
    core: Any = model
    try:
        tokens = torch.tensor([list(ids)], device=model.device)
        with fresh_rotation(model):
            core(input_ids=tokens, use_cache=False, logits_to_keep=1, **first_positions(model, tokens))
    except _Read:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return [finite(held[layer], f"the inputs of layer {layer}'s down projection") for layer in layers]
