"""The parts of a prefill's residual stream, checked to sum to it."""

from __future__ import annotations

from typing import Any

from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.models.anatomy import Anatomy
from pkv_interp.models.contributions import Contributions, split_stream
from pkv_interp.tolerances import tolerance_of


def contributions(model: Any, anatomy: Anatomy, base: Prefill) -> Contributions:
    """Split the last residual of ``base`` into embedding, heads, biases and MLPs (float32).

    Raises:
        PkvError: when the parts miss the residual by more than the dtype explains.
    """
    parts = split_stream(model, anatomy, list(base.z), list(base.mlp), base.resid[0])
    final = base.resid[-1].float()
    miss = ((parts.total - final).norm() / final.norm()).item()
    if miss > tolerance_of(base.resid.dtype).parts:
        raise PkvError(
            f"the parts miss the residual stream by {miss:.1e} of its norm",
            "direct logit attribution is for models whose blocks add attention and MLP to one stream",
        )
    return parts
