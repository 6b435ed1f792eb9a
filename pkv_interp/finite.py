"""The one place that refuses numbers that are no numbers, before anything is decided or ranked by them."""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pkv_interp.errors import PkvError

T = TypeVar("T", Tensor, np.ndarray, float)
#: What helps where a number is too large for its type, which is nearly always why one is not finite.
HINT = "load the model in float32 or bfloat16; if that does not help, its weights are damaged"


def finite(values: T, what: str, hint: str = HINT) -> T:
    """The values, all of which are finite.

    Args:
        values: a tensor, an array or a number.
        what: in the plural, for the message.
        hint: the way out.

    Raises:
        PkvError: one of them is NaN or infinite.
    """
    every = torch.isfinite(values).all() if isinstance(values, Tensor) else np.isfinite(values).all()
    if not bool(every):
        raise PkvError(f"{what} are not finite", hint)
    return values


def finite_logits(logits: Tensor, what: str = "the model's logits") -> Tensor:
    """Logits from which a token or a distribution can be taken.

    Minus infinity is how a model rules a token out (a padded vocabulary, a suppressed token), so it is no
    fault as long as each row has a token left. NaN and plus infinity always are.

    Args:
        logits: Float[*rows, tokens].
        what: in the plural, for the message.

    Raises:
        PkvError: NaN, plus infinity, or a row with no finite logit.
    """
    if not bool(torch.isfinite(logits).all()):
        ruled_out = logits == float("-inf")
        if not bool((logits.isfinite() | ruled_out).all()) or bool(ruled_out.all(-1).any()):
            raise PkvError(f"{what} are not finite", HINT)
    return logits
