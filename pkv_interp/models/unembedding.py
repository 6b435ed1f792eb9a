"""Final norm and unembedding: the logit lens, and what parts of the last residual add to the logits."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from pkv_interp.cache.measured import first_ids
from pkv_interp.models.anatomy import Anatomy, logit_rule, softcapped
from pkv_interp.models.norms import frozen_norm

_TOKENS = 4


def lens(model: Any, anatomy: Anatomy, resid: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
    """Final norm, unembedding and the factor on the logits, without the softcap; float32."""
    return model.lm_head(model.model.norm(resid)).float() * anatomy.logit_factor


def direct_logit(
    model: Any,
    anatomy: Anatomy,
    components: Float[Tensor, "N d_model"],
    resid_final: Float[Tensor, " d_model"],
    token_ids: Sequence[int],
) -> Float[Tensor, "N tokens"]:
    """Components through the frozen final norm, the unembedding rows of ``token_ids`` and the logit factor.

    Float32. Those of parts that sum to ``resid_final`` sum, with ``constant_logit``, to the logits before the
    softcap.
    """
    index = _index(token_ids, resid_final)
    scaled = frozen_norm(model.model.norm, resid_final).parts(components)
    return scaled @ model.lm_head.weight[index].float().T * anatomy.logit_factor


def constant_logit(
    model: Any, anatomy: Anatomy, resid_final: Float[Tensor, " d_model"], token_ids: Sequence[int]
) -> Float[Tensor, " tokens"]:
    """What biases of the final norm and the unembedding add, whatever the stream holds; 0 for most models."""
    index = _index(token_ids, resid_final)
    constant = frozen_norm(model.model.norm, resid_final).constant
    out = model.lm_head.weight[index].float() @ constant
    bias = getattr(model.lm_head, "bias", None)
    return (out if bias is None else out + bias[index].float()) * anatomy.logit_factor


_RULES: weakref.WeakKeyDictionary[nn.Module, tuple[float, float | None]] = weakref.WeakKeyDictionary()


def logits_of(model: Any, normed: Float[Tensor, "*n d_model"]) -> Float[Tensor, "*n vocab"]:
    """Logits of vectors that have passed the final norm, with the model's own factor and softcap; float32.

    For a model that was not loaded as a ``LoadedModel``: the rule is read off a forward, once.
    """
    if model not in _RULES:
        with torch.no_grad():
            ids = torch.tensor([first_ids(model, _TOKENS)], device=normed.device)
            raw = model.lm_head(model.model(input_ids=ids, use_cache=False).last_hidden_state)
            _RULES[model] = logit_rule(model, raw[0], model(input_ids=ids, use_cache=False).logits[0])
    factor, softcap = _RULES[model]
    return softcapped(model.lm_head(normed).float() * factor, softcap)


def _index(token_ids: Sequence[int], like: Tensor) -> Int[Tensor, " tokens"]:
    return torch.tensor(list(token_ids), device=like.device)
