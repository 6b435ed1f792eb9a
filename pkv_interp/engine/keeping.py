"""Where activations at every position are kept: they are the largest thing that outlives a prefill."""

from __future__ import annotations

import torch
from torch import Tensor

from pkv_interp.engine.batches import Sizes

#: Captures of one prompt stay on a GPU up to this share of what is free: two prompts are kept at a time, and
#: packed forwards take half of what is free then.
_SHARE = 0.2


def capture_bytes(sizes: Sizes, tokens: int, itemsize: int) -> int:
    """Bytes of one prompt's activations with capture "prefill": z, MLP outputs and both residual streams."""
    width = sizes.n_layers * sizes.n_heads * sizes.head_dim + (3 * sizes.n_layers + 1) * sizes.d_model
    return width * tokens * itemsize


def kept_on(sizes: Sizes, tokens: int, like: Tensor) -> torch.device:
    """The model's device, or the host where that is a GPU without room for one more prompt's captures.

    Args:
        sizes: of the model.
        tokens: of the prompt.
        like: a tensor of the model's dtype and device.
    """
    if like.device.type != "cuda":
        return like.device
    free, _ = torch.cuda.mem_get_info(like.device)
    fits = capture_bytes(sizes, tokens, like.element_size()) <= _SHARE * free
    return like.device if fits else torch.device("cpu")
