"""Norms with their scale held fixed, which makes them linear: parts of a vector then add up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from pkv_interp.errors import PkvError

# Large enough that the epsilon under the root vanishes beside its square; exact in bfloat16.
_PROBE = 1024.0
#: How far a norm may be from the linear map that it is taken for, relative; all is done in float32.
_ALLOWED = 1e-3


@dataclass(frozen=True, eq=False)
class FrozenNorm:
    """A norm at one vector: what it does to the parts of that vector when its scale stays that of the whole.

    Attributes:
        factors: by which each coordinate is multiplied.
        centred: True where the mean over coordinates is taken off first (LayerNorm).
        constant: what is added at the end, whatever goes in (the bias of a LayerNorm; 0 for most).
    """

    factors: Float[Tensor, " d_model"]
    centred: bool
    constant: Float[Tensor, " d_model"]

    def parts(self, parts: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n d_model"]:
        """Parts through the norm; of parts that sum to the vector, they and ``constant`` sum to its norm."""
        wide = parts.float()
        if self.centred:
            wide = wide - wide.mean(-1, keepdim=True)
        return wide * self.factors


def frozen_norm(norm: nn.Module, reference: Float[Tensor, " d_model"]) -> FrozenNorm:
    """The norm with its scale fixed at ``reference``, in float32.

    Gain, bias and centring are read off the norm's own outputs, so that no family needs a case of its own
    (some store 1 + weight). Of gain g, bias b and the scale s at the reference, the norm is g * s * x + b.

    Raises:
        PkvError: when the module is neither an RMS norm nor a LayerNorm.
    """
    wide = reference.float()
    tensors = {
        name: tensor.float() for name, tensor in (*norm.named_parameters(), *norm.named_buffers())
        if tensor.is_floating_point()
    }  # fmt: skip

    def run(x: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
        return functional_call(norm, tensors, (x[None],))[0].float()

    probe = _probe(wide)
    constant = run(torch.zeros_like(wide))
    gain = (run(probe) - constant) / (probe / probe.square().mean().sqrt())
    out = run(wide) - constant
    centred = _misses(run(probe + _PROBE) - constant, gain, probe) < _ALLOWED
    shifted = wide - wide.mean() if centred else wide
    base = gain * shifted
    scale = (base @ out) / (base @ base).clamp_min(1e-30)
    miss = (base * scale - out).norm() / out.norm().clamp_min(1e-30)
    # A norm gives the same for a vector and its double; a plain map does not.
    plain = _misses(run(2 * probe) - constant, gain, probe) > _ALLOWED
    if plain or float(miss) > _ALLOWED or not bool(torch.isfinite(gain).all()):
        raise PkvError(
            f"{type(norm).__name__} is neither an RMS norm nor a LayerNorm",
            "use a model with RMS norms or LayerNorms",
        )
    return FrozenNorm(gain * scale, centred, constant)


def _probe(like: Float[Tensor, " d_model"]) -> Float[Tensor, " d_model"]:
    """A vector of mean 0 without a zero in it, so that RMS norm and LayerNorm do the same to it."""
    n = like.shape[-1]
    probe = torch.ones_like(like) * _PROBE
    probe[1::2] = -_PROBE
    if n % 2 and n > 1:
        probe[-3:] = torch.tensor([_PROBE, _PROBE, -2 * _PROBE], device=like.device)
    return probe


def _misses(found: Float[Tensor, " d"], gain: Float[Tensor, " d"], probe: Float[Tensor, " d"]) -> float:
    """Relative distance of an output from what a norm of this gain gives for the probe."""
    wanted = gain * probe / probe.square().mean().sqrt()
    return float((found - wanted).norm() / wanted.norm().clamp_min(1e-30))
