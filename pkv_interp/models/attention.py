"""Attention in plain torch, from the tensors that enter the kernel (so also under sdpa)."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

#: Queries whose scores are held at once.
_BLOCK = 128


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
        query: after RoPE and after any norm on it.
        key: likewise.
        scaling: factor on the scores.
        window: positions that the query sees, itself included, or None for all.
        softcap: bound of the tanh on the scores (Gemma 2).
        sinks: a logit per head that takes part in the softmax and is then dropped (GPT-OSS); rows then sum to
            less than one.
    """
    last = query[0, :, -1].float()
    keys = repeat(key[0].float(), "kv t d -> (kv group) t d", group=query.shape[1] // key.shape[1])
    scores = torch.einsum("hd,htd->ht", last, keys) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if window is not None and window < scores.shape[-1]:
        scores[:, :-window] = float("-inf")
    if sinks is not None:
        scores = torch.cat([scores, sinks.float()[:, None]], -1)
    weights = scores.softmax(-1)
    return weights if sinks is None else weights[:, :-1]


def attention_outputs(
    query: Float[Tensor, "H T d"],
    key: Float[Tensor, "n_kv T d"],
    value: Float[Tensor, "n_kv T d"],
    scaling: float,
    window: int | None,
    softcap: float | None = None,
    sinks: Float[Tensor, " H"] | None = None,
) -> Float[Tensor, "H T d"]:
    """Outputs of every query over the keys and values up to its own position, in float32.

    Arguments as for ``decision_weights``. Equal inputs up to a position give bit-equal outputs up to it: the
    order of every sum does not depend on what comes later, and later columns weigh exactly 0.
    """
    group = query.shape[0] // key.shape[0]
    queries = rearrange(query.float(), "(kv group) t d -> kv group t d", group=group)
    keys, values = key.float()[:, None], value.float()[:, None]
    n_tokens = query.shape[1]
    outputs = []
    for start in range(0, n_tokens, _BLOCK):  # later columns are hidden from a block and never computed
        stop = min(start + _BLOCK, n_tokens)
        scores = queries[:, :, start:stop] @ keys[:, :, :stop].mT * scaling
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        rows = torch.arange(start, stop, device=query.device)
        columns = torch.arange(stop, device=query.device)
        hidden = columns[None] > rows[:, None]
        if window is not None:
            hidden |= rows[:, None] - columns[None] >= window
        scores = scores.masked_fill(hidden, float("-inf"))
        if sinks is not None:
            extra = repeat(sinks.float(), "(kv group) -> kv group s 1", group=group, s=stop - start)
            scores = torch.cat([scores, extra], -1)
        outputs.append(scores.softmax(-1)[..., :stop] @ values[:, :, :stop])
    return rearrange(torch.cat(outputs, 2), "kv group t d -> (kv group) t d")
