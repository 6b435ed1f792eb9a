"""What the model decides, and how clearly. Scores are taken in float32 or wider."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pkv_interp.errors import PkvError


def _wide(logits: Tensor) -> Tensor:
    return logits if logits.dtype == torch.float64 else logits.float()


def token_margin(logits: Float[Tensor, "*rows vocab"], action_ids: tuple[int, int]) -> Float[Tensor, "*rows"]:
    """First action's logit minus the second's, from full-vocabulary logits.

    Raises:
        PkvError: an action id outside the vocabulary, or the same id twice.
    """
    first, second = action_ids
    if first == second or not all(0 <= token < logits.shape[-1] for token in action_ids):
        raise PkvError(
            f"the actions have token ids {action_ids} in a vocabulary of {logits.shape[-1]}",
            "choose two actions whose first tokens differ under this tokenizer",
        )
    wide = _wide(logits)
    return wide[..., first] - wide[..., second]


def pair_margin(logits: Float[Tensor, "*rows 2"]) -> Float[Tensor, "*rows"]:
    """First action's logit minus the second's, from the two action logits alone.

    Raises:
        PkvError: the last axis is not of length 2.
    """
    if logits.shape[-1] != 2:
        raise PkvError(f"{logits.shape[-1]} logits a row were given", "give the two action logits")
    wide = _wide(logits)
    return wide[..., 0] - wide[..., 1]


def action_of(margin: Float[Tensor, "*rows"]) -> Int[Tensor, "*rows"]:
    """Two-way decision: 0 where the margin is positive, else 1. An exact tie is 1; see ``near_tie``."""
    return (margin <= 0).long()


def near_tie(margin: Float[Tensor, "*rows"], floor: float) -> Bool[Tensor, "*rows"]:
    """Rows whose margin lies within the noise floor (logits): their decision is noise, so flag them.

    Raises:
        PkvError: a negative or non-finite floor.
    """
    if not 0.0 <= floor < float("inf"):
        raise PkvError(f"the noise floor is {floor}", "give a finite number that is not negative")
    return margin.abs() <= floor


def argmax_token(logits: Float[Tensor, "*rows vocab"]) -> Int[Tensor, "*rows"]:
    """The token that greedy decoding would take; ties go to the lower id."""
    return logits.argmax(-1)


def is_action(tokens: Int[Tensor, "*rows"], action_ids: Sequence[int]) -> Bool[Tensor, "*rows"]:
    """Whether a token is one of the actions: the margin describes the decision only where it is."""
    return torch.isin(tokens, torch.tensor(list(action_ids), device=tokens.device))


def kl_divergence(
    logits: Float[Tensor, "*rows vocab"], reference: Float[Tensor, "*rows vocab"]
) -> Float[Tensor, "*rows"]:
    """KL(reference || logits) in nats over the full vocabulary, in float64.

    Raises:
        PkvError: different vocabularies.
    """
    if logits.shape[-1] != reference.shape[-1]:
        raise PkvError(
            f"the vocabularies have {logits.shape[-1]} and {reference.shape[-1]} tokens",
            "compare logits of the same model",
        )
    target = reference.double().log_softmax(-1)
    # Rounding can leave a divergence of -1e-17.
    return (target.exp() * (target - logits.double().log_softmax(-1))).sum(-1).clamp_min(0.0)
