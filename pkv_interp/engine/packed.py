"""The one traced forward that every counterfactual goes through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import nnsight
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor

from pkv_interp.cache import ColumnsLayer, FrozenCache, columns_cache
from pkv_interp.cache.forward import reset_rotation
from pkv_interp.engine.edits import HeadEdits, LayerEdits, RowEdits
from pkv_interp.engine.joining import Entry, Joining
from pkv_interp.engine.live import LiveMLP
from pkv_interp.engine.masks import layer_masks
from pkv_interp.engine.packing import Packing


@dataclass(frozen=True, eq=False)
class Collected:
    """Activations of a packed forward, in its autograd graph: one per layer, over the packed tokens."""

    z: list[Float[Tensor, "1 tokens H*d_head"]]
    mlp: list[Float[Tensor, "1 tokens d_model"]]


@dataclass(frozen=True, eq=False)
class Shortcuts:
    """What a packed forward need not compute.

    Attributes:
        entry: start above the embedding.
        joining: rows of a stacked packing start at the layers that they edit first.
        live: per layer, the tokens whose MLP must be run (``live_mlps``); all of them when empty.
        token_ids: the only tokens whose logits are wanted; the whole vocabulary when None.
    """

    entry: Entry | None = None
    joining: Joining | None = None
    live: Sequence[LiveMLP | None] = ()
    token_ids: Int[Tensor, " tokens"] | None = None


@dataclass(frozen=True, eq=False)
class PackedOutput:
    """Logits of the decision tokens, over the vocabulary or the wanted tokens, and what was collected."""

    logits: Float[Tensor, "rows tokens"]
    collected: Collected | None


def column_layers(packing: Packing, base: FrozenCache, donors: Sequence[FrozenCache]) -> list[ColumnsLayer]:
    """Per layer the columns that the packed tokens read: views of the base, copies of donor columns only."""
    layers: dict[int, ColumnsLayer] = {}
    for group in packing.groups:
        first, stop = group.prefix
        picks = [
            (source, torch.as_tensor(source.columns, device=base.keys[0].device)) for source in group.sources
        ]
        for layer in group.layers:
            keys, values = [base.keys[layer][:, :, first:stop]], [base.values[layer][:, :, first:stop]]
            for source, columns in picks:
                key = base if source.key is None else donors[source.key]
                value = base if source.value is None else donors[source.value]
                keys.append(key.keys[layer].index_select(2, columns))
                values.append(value.values[layer].index_select(2, columns))
            layers[layer] = ColumnsLayer(keys, values)
    return [layers[index] for index in range(len(layers))]


def packed_forward(
    tracer: Any,
    ids: Sequence[int],
    packing: Packing,
    columns: Sequence[ColumnsLayer],
    edits: Sequence[LayerEdits],
    collect: bool = False,
    shortcuts: Shortcuts = Shortcuts(),  # noqa: B008 (frozen)
) -> PackedOutput:
    """Run the packed tokens of all rows at once, with every row's edits in place.

    Args:
        tracer: the nnsight wrapper of the model.
        ids: the base prompt.
        packing: layout of the rows.
        columns: what each layer reads before the packed tokens (``column_layers``).
        edits: per layer (``layer_edits``).
        collect: keep z and MLP outputs of every layer.
        shortcuts: what need not be computed; nothing may be edited or collected there.
    """
    dtype, device = columns[0].dtype, columns[0].device
    masks = layer_masks(packing, dtype, device)
    mask_of = {
        layer: mask for group, mask in zip(packing.groups, masks, strict=True) for layer in group.layers
    }
    position_of = torch.as_tensor(packing.position_of, device=device).reshape(packing.shape)
    tokens = torch.tensor(ids, device=device)[position_of]
    positions = position_of[:1]
    # In a batch every row ends with its decision token.
    wanted = 1 if packing.stacked else torch.as_tensor(packing.decision, device=device)
    layers, entry, live, joining = tracer.model.layers, shortcuts.entry, shortcuts.live, shortcuts.joining
    if joining is not None:
        tokens = tokens[:1]
    # The rows hold the prompt's last token, so their frequencies are those of the prompt.
    reset_rotation(tracer._module)
    # fmt: off
    with tracer.trace(
        input_ids=tokens, position_ids=positions, attention_mask=mask_of[0].expand(len(tokens), -1, -1, -1),
        past_key_values=columns_cache(columns), use_cache=True, logits_to_keep=wanted,
    ):
        zs = nnsight.save([])
        mlps = nnsight.save([])
        if collect:
            # The first MLP of a parallel block depends on nothing else that has a gradient.
            layers[0].input.requires_grad_()
        if entry is not None:
            for index in range(entry.layer):
                layers[index].skip(entry.resid.reshape(*tokens.shape, -1))
        for index in range(0 if entry is None else entry.layer, len(columns)):
            layer, edit = layers[index], edits[index]
            alone = joining is not None and index == joining.first
            if joining is not None and joining.comes_in(index):
                layer.input = joining.joined(index, layer.input)
            if mask_of[index] is not mask_of[0]:
                args, kwargs = layer.self_attn.inputs
                layer.self_attn.inputs = (args, {**kwargs, "attention_mask": mask_of[index]})
            if joining is not None and alone:
                if edit.heads is not None:
                    z = layer.self_attn.o_proj.input
                    layer.self_attn.o_proj.input = joining.with_edited(z, edit.heads)
                    written = layer.self_attn.o_proj.output
                    layer.self_attn.o_proj.output = joining.to_rows(index, written, edit.heads)
                layer.mlp.input = joining.every_row(index, layer.mlp.input)
            elif edit.heads is not None:
                layer.self_attn.o_proj.input = _assign_heads(layer.self_attn.o_proj.input, edit.heads)
            if joining is not None and index == len(columns) - 1 and not alone:
                # Nothing after it reads another token: what is added to the others' streams is never read.
                layer.self_attn.o_proj.input = layer.self_attn.o_proj.input[:, -1:]
            if collect:
                zs.append(layer.self_attn.o_proj.input)
            picked = live[index] if live else None
            if picked is not None:
                entering = layer.mlp.input
                layer.mlp.input = picked.pick(entering)
                written = layer.mlp.output
                if isinstance(written, tuple):
                    layer.mlp.output = (picked.spread(written[0], entering), *written[1:])
                else:
                    layer.mlp.output = picked.spread(written, entering)
            if edit.mlp is not None:
                written = layer.mlp.output
                if isinstance(written, tuple):
                    layer.mlp.output = (_assign(written[0], edit.mlp), *written[1:])
                else:
                    layer.mlp.output = _assign(written, edit.mlp)
            if collect:
                written = layer.mlp.output
                mlps.append(written[0] if isinstance(written, tuple) else written)
            if edit.residual is not None:
                layer.output = _assign(layer.output, edit.residual)
        if shortcuts.token_ids is not None:
            final = tracer.lm_head.input
            tracer.lm_head.skip(_unembed(final, tracer.lm_head._module, shortcuts.token_ids))
        logits = rearrange(tracer.output.logits, "batch s vocab -> (batch s) vocab").save()
    # fmt: on
    reset_rotation(tracer._module)
    return PackedOutput(logits, Collected(list(zs), list(mlps)) if collect else None)


def _unembed(
    final: Float[Tensor, "batch S d_model"], head: Any, token_ids: Int[Tensor, " tokens"]
) -> Float[Tensor, "batch S tokens"]:
    """Logits of some tokens; what the model does to logits afterwards (a softcap) still follows."""
    bias = None if head.bias is None else head.bias[token_ids]
    return torch.nn.functional.linear(final, head.weight[token_ids], bias)


def _assign_heads(z: Float[Tensor, "batch S width"], edit: HeadEdits) -> Float[Tensor, "batch S width"]:
    """A copy of ``z`` with the named heads of the named tokens replaced."""
    edited = rearrange(z.clone(), "batch s (heads d) -> (batch s) heads d", d=edit.values.shape[-1])
    edited[edit.tokens, edit.heads] = edit.values
    return rearrange(edited, "(batch s) heads d -> batch s (heads d)", batch=z.shape[0])


def _assign(output: Float[Tensor, "batch S d_model"], edit: RowEdits) -> Float[Tensor, "batch S d_model"]:
    """A copy of ``output`` with the rows of ``edit`` kept or dropped, and its values added."""
    edited = rearrange(output.clone(), "batch s d -> (batch s) d")
    edited[edit.tokens] = edit.keep * edited[edit.tokens] + edit.values
    return rearrange(edited, "(batch s) d -> batch s d", batch=output.shape[0])
