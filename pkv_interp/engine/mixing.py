"""What a head puts out when it weighs one prompt's values as another prompt does."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import AttentionPatch


def mixed_output(edit: AttentionPatch, base: Prefill, donor: Prefill) -> Float[Tensor, " d_head"]:
    """The z of one head at the decision token, its pattern and its values from different prompts, float32.

    Query heads share the values of their group. Where the model has sinks a pattern sums to less than one,
    and so it does here; what a window hides has no weight in either prompt.

    Args:
        edit: which head, and which part is the donor's.
        base: run with capture "attention".
        donor: likewise.
    """
    looking, read = (donor, base) if edit.part == "pattern" else (base, donor)
    pattern = looking.need("attn")[edit.layer, edit.head]
    group = base.z.shape[1] // base.cache.keys[edit.layer].shape[1]
    head = edit.head // group
    before = read.cache.values[edit.layer][0, head].float()
    own = read.need("own_values")[edit.layer, head].float()
    return pattern @ torch.cat([before, own[None]])
