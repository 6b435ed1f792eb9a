"""How far a vector moved: cosine distance and relative L2, over the last axis."""

from jaxtyping import Float
from torch import Tensor

from pkv_interp.errors import PkvError


def _checked(after: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    if after.shape != before.shape:
        raise PkvError(
            f"vectors of shapes {tuple(after.shape)} and {tuple(before.shape)} were compared",
            "align the two prompts to the same length first",
        )
    return after.double(), before.double()


def cosine_distance(
    after: Float[Tensor, "*rows d"], before: Float[Tensor, "*rows d"]
) -> Float[Tensor, "*rows"]:
    """1 - cosine of the angle, 0 (same direction) to 2; two zero vectors have 0, a single one 1. float64."""
    a, b = _checked(after, before)
    norms = a.norm(dim=-1) * b.norm(dim=-1)
    cosine = ((a * b).sum(-1) / norms.clamp_min(1e-300)).clamp(-1.0, 1.0)
    same = (a == b).all(-1)
    # Equal vectors are at distance 0 exactly, which rounding of the norms would miss by 1e-16.
    return (1.0 - cosine).masked_fill(same, 0.0)


def relative_l2(after: Float[Tensor, "*rows d"], before: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows"]:
    """||after - before|| / ||before|| in float64; 0 for two zero vectors, infinite for a zero ``before``."""
    a, b = _checked(after, before)
    same = (a == b).all(-1)
    return ((a - b).norm(dim=-1) / b.norm(dim=-1)).masked_fill(same, 0.0)
