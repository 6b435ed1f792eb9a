"""Attention weights of one query row, from the tensors that enter the kernel (so also under sdpa)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def decision_weights(
    query: Float[Tensor, "1 H T d"],
    key: Float[Tensor, "1 n_kv T d"],
    scaling: float,
    window: int | None,
    softcap: float | None = None,
    sinks: Float[Tensor, " H"] | None = None,
) -> Float[Tensor, "H T"]:
    """Weights of the last query over all keys, in float32.

    Args:
        query, key: after RoPE and after any norm on them.
        scaling: factor on the scores.
        window: positions that the query sees, itself included, or None for all.
        softcap: bound of the tanh on the scores (Gemma 2).
        sinks: a logit per head that takes part in the softmax and is then dropped (GPT-OSS); rows then sum to
            less than one.
    """
    last = query[0, :, -1].float()
    keys = key[0].float().repeat_interleave(query.shape[1] // key.shape[1], dim=0)
    scores = torch.einsum("hd,htd->ht", last, keys) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if window is not None and window < scores.shape[-1]:
        scores[:, :-window] = float("-inf")
    if sinks is not None:
        scores = torch.cat([scores, sinks.float()[:, None]], -1)
    weights = scores.softmax(-1)
    return weights if sinks is None else weights[:, :-1]
