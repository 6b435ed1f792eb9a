"""How clearly a model decides, and how far two of its decisions differ."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import kl_div

from pkv_interp.errors import PkvError
from pkv_interp.finite import finite, finite_logits


def token_margin(logits: Float[Tensor, "*rows vocab"], action_ids: tuple[int, int]) -> Float[Tensor, "*rows"]:
    """First action's logit minus the second's, from full-vocabulary logits.

    Raises:
        PkvError: an action id outside the vocabulary, the same id twice, or a margin that is not finite.
    """
    first, second = action_ids
    if first == second or not all(0 <= token < logits.shape[-1] for token in action_ids):
        raise PkvError(
            f"the actions have token ids {action_ids} in a vocabulary of {logits.shape[-1]}",
            "choose two actions whose first tokens differ under this tokenizer",
        )
    wide = logits if logits.dtype == torch.float64 else logits.float()
    return finite(wide[..., first] - wide[..., second], "the margins")


def kl_divergence(
    logits: Float[Tensor, "*rows vocab"], reference: Float[Tensor, "*rows vocab"]
) -> Float[Tensor, "*rows"]:
    """KL(reference || logits) in nats over the full vocabulary, in float64.

    Raises:
        PkvError: different vocabularies, or logits that are not finite.
    """
    if logits.shape[-1] != reference.shape[-1]:
        raise PkvError(
            f"the vocabularies have {logits.shape[-1]} and {reference.shape[-1]} tokens",
            "compare logits of the same model",
        )
    ours, target = (finite_logits(x).double().log_softmax(-1) for x in (logits, reference))
    # Rounding can leave a divergence of -1e-17.
    each = kl_div(ours, target, log_target=True, reduction="none")
    # A token that both rule out adds nothing; one that only ``logits`` rules out makes it infinite.
    return each.masked_fill(target == float("-inf"), 0.0).sum(-1).clamp_min(0.0)
