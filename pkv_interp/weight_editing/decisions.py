"""Two-way decisions, and how many of them an edit changes that it should have left alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Choice:
    """A prompt and the two tokens that it chooses between."""

    ids: tuple[int, ...]
    options: tuple[int, int]


def margins(runner: Runner, asked: Sequence[Choice]) -> Float[np.ndarray, " choices"]:
    """First option's logit minus the second's, each prompt run whole with the weights as they are now."""
    found = []
    for one in asked:
        logits = runner.prefill(one.ids).logits
        found.append(float(logits[one.options[0]] - logits[one.options[1]]))
    return np.array(found)


def changed(before: ArrayLike, after: ArrayLike) -> Bool[np.ndarray, " choices"]:
    """Which decisions have flipped; both sides are measured margins.

    Raises:
        PkvError: the two sides are not of the same decisions, or there is none.
    """
    old, new = np.asarray(before, float), np.asarray(after, float)
    if old.shape != new.shape or old.ndim != 1 or old.size == 0:
        raise PkvError(
            f"decisions before and after have shapes {old.shape} and {new.shape}",
            "measure the same decisions twice",
        )
    return (old > 0.0) != (new > 0.0)
