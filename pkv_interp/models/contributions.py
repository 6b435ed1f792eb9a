"""The residual stream of one token, split into what each head and MLP wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from pkv_interp.models.anatomy import Anatomy
from pkv_interp.models.norms import frozen_norm


@dataclass(frozen=True, eq=False)
class Contributions:
    """Parts of the residual stream at the decision token, float32; they sum to the last residual.

    Attributes:
        embedding: what the first block reads.
        heads: as they reach the stream: through o_proj, and a norm after the attention and a factor where a
            family has them.
        attention_bias: the biases of o_proj and of that norm, per layer.
        mlps: as they reach the stream.
    """

    embedding: Float[Tensor, " d_model"]
    heads: Float[Tensor, "L H d_model"]
    attention_bias: Float[Tensor, "L d_model"]
    mlps: Float[Tensor, "L d_model"]

    @property
    def total(self) -> Float[Tensor, " d_model"]:
        """The sum of all parts."""
        return self.embedding + self.heads.sum((0, 1)) + self.attention_bias.sum(0) + self.mlps.sum(0)


def split_stream(
    model: Any,
    anatomy: Anatomy,
    z: Sequence[Float[Tensor, "H d_head"]],
    mlp: Sequence[Float[Tensor, " d_model"]],
    embedding: Float[Tensor, " d_model"],
) -> Contributions:
    """Split the last residual of one token.

    Args:
        model: whose ``o_proj`` and norms are read.
        anatomy: how its blocks write.
        z: per layer the outputs of the heads.
        mlp: per layer the output of the MLP.
        embedding: what the first block reads.
    """
    heads, biases, mlps = [], [], []
    for layer, block, mine, raw in zip(model.model.layers, anatomy.blocks, z, mlp, strict=True):
        split = torch.diag_embed(torch.ones(mine.shape[0], dtype=mine.dtype, device=mine.device))
        alone = rearrange(split[..., None] * mine[None], "alone heads d -> alone (heads d)")
        bias = layer.self_attn.o_proj(torch.zeros_like(alone[0])).float()
        by_head = layer.self_attn.o_proj(alone).float() - bias
        if block.attention_norm is not None:
            frozen = frozen_norm(_norm(layer, block.attention_norm), by_head.sum(0) + bias)
            by_head, bias = frozen.parts(by_head), frozen.parts(bias) + frozen.constant
        heads.append(by_head * block.attention_factor)
        biases.append(bias * block.attention_factor)
        out = raw.float()
        if block.mlp_norm is not None:
            frozen = frozen_norm(_norm(layer, block.mlp_norm), out)
            out = frozen.parts(out) + frozen.constant
        mlps.append(out * block.mlp_factor)
    return Contributions(embedding.float(), torch.stack(heads), torch.stack(biases), torch.stack(mlps))


def split_heads(
    model: Any,
    anatomy: Anatomy,
    z: Sequence[Float[Tensor, "H d_head"]],
    parts: Sequence[Float[Tensor, "S H d_head"]],
) -> Float[Tensor, "S L H d_model"]:
    """What parts of the heads' outputs add to the stream; those of parts that sum to ``z`` sum to the heads'.

    Args:
        model: whose ``o_proj`` and norms are read.
        anatomy: how its blocks write.
        z: per layer the outputs of the heads, which set the scale of a norm after the attention.
        parts: per layer what each source gives to each head's output.
    """
    written = []
    for layer, block, whole, mine in zip(model.model.layers, anatomy.blocks, z, parts, strict=True):
        n_heads = whole.shape[0]
        split = torch.eye(n_heads, dtype=mine.dtype, device=mine.device)[..., None] * mine[:, None]
        alone = rearrange(split, "source alone heads d -> (source alone) (heads d)").to(whole.dtype)
        bias = layer.self_attn.o_proj(torch.zeros_like(alone[0])).float()
        found = layer.self_attn.o_proj(alone).float() - bias
        if block.attention_norm is not None:
            out = layer.self_attn.o_proj(rearrange(whole, "heads d -> (heads d)")).float()
            found = frozen_norm(_norm(layer, block.attention_norm), out).parts(found)
        written.append(rearrange(found * block.attention_factor, "(s heads) d -> s heads d", heads=n_heads))
    return torch.stack(written, 1)


def _norm(layer: nn.Module, name: str) -> nn.Module:
    return layer.get_submodule(name)
