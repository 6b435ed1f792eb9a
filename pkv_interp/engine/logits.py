"""The parts of a prefill's residual stream, checked to sum to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.models.anatomy import Anatomy
from pkv_interp.models.anatomy import written as added
from pkv_interp.models.contributions import Contributions, split_stream
from pkv_interp.tolerances import tolerance_of


def written(
    model: Any, anatomy: Anatomy, base: Prefill, positions: Sequence[int]
) -> tuple[Float[Tensor, "L P d_model"], Float[Tensor, "L P d_model"]]:
    """What attention and MLP of every block add to the stream at the positions, by the modules themselves.

    Attention's output projection and, where a family has them, the norms after attention and MLP run again on
    what went into them, so that nothing here rests on where the stream was read. Float32.
    """
    at, attention, mlps = list(positions), [], []
    for index, (layer, block) in enumerate(zip(model.model.layers, anatomy.blocks, strict=True)):
        z = rearrange(base.take("z_all", index, at), "p heads d -> p (heads d)")
        out, mlp = layer.self_attn.o_proj(z), base.take("mlp_all", index, at)
        attention.append(added(layer, block.attention_norm, block.attention_factor, out).float())
        mlps.append(added(layer, block.mlp_norm, block.mlp_factor, mlp).float())
    return torch.stack(attention), torch.stack(mlps)


def contributions(model: Any, anatomy: Anatomy, base: Prefill) -> Contributions:
    """Split the last residual of ``base`` into embedding, heads, biases and MLPs (float32).

    Raises:
        PkvError: when the parts miss the residual by more than the dtype explains, are not finite, or were
            not captured.
    """
    base.need_activations()
    parts = split_stream(model, anatomy, list(base.z), list(base.mlp), base.resid[0])
    final = finite(base.resid[-1].float(), "the residual stream's numbers")
    miss = float((finite(parts.total, "the parts of the residual stream") - final).norm() / final.norm())
    if not miss <= tolerance_of(base.resid.dtype).parts:
        raise PkvError(
            f"the parts miss the residual stream by {miss:.1e} of its norm",
            "direct logit attribution is for models whose blocks add attention and MLP to one stream",
        )
    return parts
