"""PyTorch hooks that put one row's edits into a plain forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import HeadPatch, Intervention, MLPPatch, ResidualEdit


@contextmanager
def edited(
    model: Any, edits: Sequence[Intervention], positions: Sequence[int], donors: Sequence[Prefill]
) -> Iterator[None]:
    """Within the context, a forward over the tokens at ``positions`` carries the edits that fall on them.

    HeadPatch and MLPPatch without a position fall on the decision token, the last of the donor's prompt.
    Knockout is not handled here (``knocked_out``).

    Args:
        model: a causal language model of transformers.
        edits: of one row.
        positions: of the tokens in the forward, in order.
        donors: prompts that edits index.
    """
    at = {position: index for index, position in enumerate(positions)}
    handles: list[RemovableHandle] = []
    for edit in edits:
        if isinstance(edit, HeadPatch | MLPPatch):
            donor = donors[edit.donor]
            position = donor.length - 1 if edit.position is None else edit.position
            if position in at:
                layer = model.model.layers[edit.layer]
                handles.append(_patch(layer, edit, donor, position, at[position]))
        elif isinstance(edit, ResidualEdit) and edit.position in at:
            layer = model.model.layers[edit.layer]
            handles.append(layer.register_forward_hook(_residual(edit, at[edit.position])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _patch(
    layer: Any, edit: HeadPatch | MLPPatch, donor: Prefill, position: int, token: int
) -> RemovableHandle:
    decision = position == donor.length - 1
    if isinstance(edit, HeadPatch):
        z = donor.z[edit.layer] if decision else donor.take("z_all", edit.layer, position)
        return layer.self_attn.o_proj.register_forward_pre_hook(_head(edit.head, z[edit.head], token))
    value = donor.mlp[edit.layer] if decision else donor.take("mlp_all", edit.layer, position)
    return layer.mlp.register_forward_hook(_mlp(value, token))


def _head(head: int, value: Tensor, token: int) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
    width = value.shape[-1]

    def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor]:
        z = inputs[0].clone(memory_format=torch.contiguous_format)
        # A split of an axis is a view, so this writes into z.
        rearrange(z, "row t (head d) -> row t head d", d=width)[0, token, head] = value
        return (z,)

    return hook


def _mlp(value: Tensor, token: int) -> Callable[[nn.Module, Any, Any], Any]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[0, token] = value
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    return hook


def _residual(edit: ResidualEdit, token: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        out = output.clone()
        vector = edit.vector.to(out)
        out[0, token] = vector if edit.mode == "set" else out[0, token] + vector
        return out

    return hook


@contextmanager
def knocked_out(
    model: Any, closed_at: Mapping[int, Sequence[tuple[int, int]]], length: int
) -> Iterator[None]:
    """Within the context, tokens of a forward cannot see positions: ``closed_at`` has pairs of them by layer.

    The mask is the model's own, window included, with these positions closed.

    Args:
        model: a causal language model of transformers.
        closed_at: by layer, index of a token in the forward and a position that it may not see.
        length: tokens in the cache after the forward.
    """

    def hook_for(closed: Sequence[tuple[int, int]]) -> Callable[..., Any]:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            states = kwargs["hidden_states"]
            mask = kwargs["attention_mask"]
            minimum = torch.finfo(states.dtype).min
            if mask is None:
                new = states.shape[1]
                later = torch.ones(new, length, dtype=torch.bool, device=states.device)
                later = later.triu(length - new + 1)
                mask = states.new_zeros(1, 1, new, length).masked_fill(later, minimum)
            elif mask.dtype == torch.bool:
                mask = states.new_zeros(mask.shape).masked_fill(~mask, minimum)
            else:
                mask = mask.clone()
            for token, position in closed:
                mask[..., token, position] = minimum
            return args, {**kwargs, "attention_mask": mask}

        return hook

    handles = [
        model.model.layers[layer].self_attn.register_forward_pre_hook(hook_for(closed), with_kwargs=True)
        for layer, closed in closed_at.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
