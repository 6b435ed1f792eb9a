"""What a forward leaves: a cache, and what the model says after it."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.frozen import FrozenCache


@dataclass(frozen=True, eq=False)
class Computed:
    """A cache and what the model says after the last token that was run for it.

    Attributes:
        cache: keys and values of the whole prompt.
        logits: after the last token run, in float32.
    """

    cache: FrozenCache
    logits: Float[Tensor, " vocab"]
