"""Final norm and unembedding: logit lens, direct logit attribution, and the parts of the residual stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError

# Large enough that the epsilon under the root vanishes beside its square.
_PROBE = 1e3
_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.05}


@dataclass(frozen=True, eq=False)
class Contributions:
    """Parts of the residual stream at the decision token, float32; they sum to the last residual.

    Attributes:
        embedding: what the first block reads.
        heads: through o_proj, and through the norm after the attention where the family has one.
        attention_bias: the bias of o_proj, per layer.
        mlps: through the norm after the MLP where the family has one.
    """

    embedding: Float[Tensor, " d_model"]
    heads: Float[Tensor, "L H d_model"]
    attention_bias: Float[Tensor, "L d_model"]
    mlps: Float[Tensor, "L d_model"]

    @property
    def total(self) -> Float[Tensor, " d_model"]:
        """The sum of all parts."""
        return self.embedding + self.heads.sum((0, 1)) + self.attention_bias.sum(0) + self.mlps.sum(0)


def frozen_norm(norm: Any, reference: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    """The factors by which an RMS norm multiplies ``reference``.

    With the norm's scale fixed in this way, scaled parts sum to the scaled whole. The gain is read off the
    norm's own output, so that families that store 1 + weight need no case of their own.

    Raises:
        PkvError: when the module is not an RMS norm.
    """
    eps = getattr(norm, "variance_epsilon", getattr(norm, "eps", None))
    if eps is None:
        raise PkvError(f"{type(norm).__name__} has no epsilon", "use a model with RMS norms")
    weight = norm.weight
    gain = norm(torch.full_like(reference, _PROBE).to(weight.dtype)).float()
    wide = reference.float()
    return gain * torch.rsqrt(wide.pow(2).mean() + eps)


def lens(model: Any, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
    """Final norm, then unembedding, without the softcap."""
    return model.lm_head(model.model.norm(resid)).float()


def apply_softcap(logits: Float[Tensor, " n"], softcap: float | None) -> Float[Tensor, " n"]:
    """``softcap * tanh(logits / softcap)``, or the logits as they are when there is no softcap."""
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def direct_logit(
    model: Any,
    components: Float[Tensor, "N d_model"],
    resid_final: Float[Tensor, " d_model"],
    token_ids: Sequence[int],
) -> Float[Tensor, "N tokens"]:
    """Components through the frozen final norm and the unembedding rows of ``token_ids``, float32."""
    index = torch.tensor(list(token_ids), device=resid_final.device)
    scaled = components.float() * frozen_norm(model.model.norm, resid_final)
    return scaled @ model.lm_head.weight[index].float().T


def written(
    model: Any, base: Prefill, positions: Sequence[int]
) -> tuple[Float[Tensor, "L P d_model"], Float[Tensor, "L P d_model"]]:
    """What attention and MLP of every block add to the stream at the positions, by the modules themselves.

    Attention's output projection and, where a family has them, the norms after attention and MLP run again on
    what went into them, so that nothing here rests on where the stream was read. Float32.
    """
    at, attention, mlps = list(positions), [], []
    for index, layer in enumerate(model.model.layers):
        z = rearrange(base.need("z_all")[index, at], "p heads d -> p (heads d)")
        out, mlp = layer.self_attn.o_proj(z), base.need("mlp_all")[index, at]
        # Only families with a norm after the MLP have one after the attention under this name.
        if hasattr(layer, "post_feedforward_layernorm"):
            out, mlp = layer.post_attention_layernorm(out), layer.post_feedforward_layernorm(mlp)
        attention.append(out.float())
        mlps.append(mlp.float())
    return torch.stack(attention), torch.stack(mlps)


def contributions(model: Any, base: Prefill) -> Contributions:
    """Split the last residual of ``base`` into embedding, heads, biases and MLPs (float32).

    Raises:
        PkvError: when the parts miss the residual by more than the dtype explains.
    """
    heads, biases, mlps = [], [], []
    for index, layer in enumerate(model.model.layers):
        z = base.z[index]
        split = torch.diag_embed(torch.ones(z.shape[0], dtype=z.dtype, device=z.device))
        alone = rearrange(split[..., None] * z[None], "alone heads d -> alone (heads d)")
        bias = layer.self_attn.o_proj(torch.zeros_like(alone[0])).float()
        written = layer.self_attn.o_proj(alone).float() - bias
        mlp = base.mlp[index].float()
        # Only families with a norm after the MLP have one after the attention under this name.
        if hasattr(layer, "post_feedforward_layernorm"):
            scale = frozen_norm(layer.post_attention_layernorm, written.sum(0) + bias)
            written, bias = written * scale, bias * scale
            mlp = mlp * frozen_norm(layer.post_feedforward_layernorm, mlp)
        heads.append(written)
        biases.append(bias)
        mlps.append(mlp)
    parts = Contributions(base.resid[0].float(), torch.stack(heads), torch.stack(biases), torch.stack(mlps))
    final = base.resid[-1].float()
    miss = ((parts.total - final).norm() / final.norm()).item()
    if miss > _TOLERANCE.get(base.resid.dtype, 1e-3):
        raise PkvError(
            f"the parts miss the residual stream by {miss:.1e} of its norm",
            "direct logit attribution is for models whose blocks add attention and MLP to one stream",
        )
    return parts
