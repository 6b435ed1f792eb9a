"""Spliced caches compared with the prefill of the same tokens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import join, precompile, splice
from pkv_interp.measure.decision import kl_divergence, token_margin
from pkv_interp.prompts.blocks import Span


@dataclass(frozen=True)
class Distance:
    """A decision, and how far its logits are from those of the full prefill.

    Attributes:
        margin: first action minus second, in logits.
        kl: from the full prefill, in nats.
        top1: both have the same first token.
        cosine: of raw logits, which hardly moves, because their common mean dominates it.
        centred_cosine: of logits less their mean.
    """

    margin: float
    kl: float
    top1: bool
    cosine: float
    centred_cosine: float


def distance(
    logits: Float[Tensor, " vocab"], full: Float[Tensor, " vocab"], action_ids: tuple[int, int]
) -> Distance:
    """A decision against that of the full prefill.

    Args:
        logits: of the decision.
        full: of the full prefill.
        action_ids: tokens of the first and of the second action.
    """
    centred = [one - one.mean() for one in (logits, full)]
    return Distance(
        margin=float(token_margin(logits, action_ids)),
        kl=float(kl_divergence(logits, full)),
        top1=bool(logits.argmax() == full.argmax()),
        cosine=float(torch.cosine_similarity(logits, full, dim=0)),
        centred_cosine=float(torch.cosine_similarity(centred[0], centred[1], dim=0)),
    )


def first_keys_apart(one: FrozenCache, other: FrozenCache) -> float:
    """Largest difference of the first layer's keys over the largest key.

    These keys hold a token and its position and nothing else, so wherever a chunk comes from, keys that were
    turned rightly are those of a full prefill.
    """
    a, b = one.keys[0].float(), other.keys[0].float()
    return float((a - b).abs().max() / b.abs().max())


def spliced_in_context(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    prefix: FrozenCache,
    ids: Sequence[int],
    spans: Sequence[Span],
    layout: AttentionLayout | None = None,
) -> FrozenCache:
    """Chunks made after their own context and spliced where they were: a splice that has to change nothing.

    Args:
        runner: of the model.
        tokenizer: of the model.
        prefix: cache of ``ids`` up to the first span.
        ids: the prompt.
        spans: of the chunks, one after the other without a gap.
        layout: who sees whom in the prompt; chunks are then cut from prefills under it.

    Returns:
        The cache up to the end of the last span.
    """
    cache = prefix
    for start, stop in spans:
        if layout is not None:
            made = runner.prefill(ids[:stop], layout).cache
            cache = replace(join([cache, made.slice(start, stop)]), layout=layout)
            continue
        chunk = precompile(runner, tokenizer, ids[start:stop], context=ids[:start], sink="prefix")
        cache = splice(runner, cache, chunk)
    return cache
