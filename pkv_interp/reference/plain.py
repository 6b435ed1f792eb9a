"""Caches by the slow and obvious way: one forward of transformers over a text, or one token at a time.

Neither uses a mask, a block or a position of ours: the model makes its own, except where a text is to be read
with something hidden, and then the mask is written out pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.cache.window import Chunks, Window

Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Plain:
    """What one forward left.

    Attributes:
        cache: keys and values of every token; None of a model that keeps a state.
        logits: after every token, in float32.
    """

    cache: FrozenCache | None
    logits: Float[Tensor, "T vocab"]


@torch.no_grad()
def reencode(runner: Runner, ids: Sequence[int], start: int = 0, blind: Span | None = None) -> Plain:
    """One forward over a whole text.

    Args:
        runner: names the model, and what its layers see.
        ids: all tokens.
        start: position of the first.
        blind: a span whose tokens see nothing before it.
    """
    model: Any = runner.model
    tokens = torch.tensor([list(ids)], device=model.device)
    at = torch.arange(start, start + len(ids), device=model.device)
    extra: dict[str, Any] = at_positions(model, at)
    if blind is not None:
        kinds = dict(zip(runner.types, runner.windows, strict=True))
        masks = {kind: _mask(model, len(ids), window, blind) for kind, window in kinds.items()}
        extra["attention_mask"] = masks if len(masks) > 1 else next(iter(masks.values()))
    with fresh_rotation(model):
        if runner.appends_only:
            return Plain(None, model(input_ids=tokens, use_cache=False, **extra).logits[0].float())
        cache = DynamicCache()
        out = model(input_ids=tokens, past_key_values=cache, use_cache=True, **extra)
    return Plain(FrozenCache.of(cache), out.logits[0].float())


def _mask(model: PreTrainedModel, n: int, window: Window, blind: Span) -> Float[Tensor, "1 1 n n"]:
    mask = torch.full((n, n), torch.finfo(model.dtype).min, dtype=model.dtype, device=model.device)
    for query in range(n):
        first = blind[0] if blind[0] <= query < blind[1] else 0
        for column in range(first, query + 1):
            if window is None:
                seen = True
            elif isinstance(window, Chunks):
                seen = query // window.size == column // window.size
            else:
                seen = query - column < window
            if seen:
                mask[query, column] = 0.0
    return mask[None, None]


@torch.no_grad()
def one_by_one(
    runner: Runner, cache: FrozenCache, positions: Sequence[int], ids: Sequence[int]
) -> FrozenCache:
    """Tokens run again in place, or after a cache, each in a forward of its own over what stands before it.

    Args:
        runner: names the model.
        cache: of the whole text; it is not changed.
        positions: ascending; those past the cache's end follow it without a gap.
        ids: tokens of the whole text.
    """
    model: Any = runner.model
    keys, values = list(cache.keys), list(cache.values)
    for position in positions:
        before = DynamicCache()
        for key, value in zip(keys, values, strict=True):
            layer = DynamicLayer()
            layer.lazy_initialization(key, value)
            layer.keys, layer.values = key[:, :, :position], value[:, :, :position]
            before.layers.append(layer)
        token = torch.tensor([[ids[position]]], device=model.device)
        at = torch.tensor([position], device=model.device)
        with fresh_rotation(model):
            model(input_ids=token, past_key_values=before, use_cache=True, **at_positions(model, at))
        layers: list[Any] = before.layers
        for index, layer in enumerate(layers):
            keys[index] = torch.cat([layer.keys, keys[index][:, :, position + 1 :]], 2)
            values[index] = torch.cat([layer.values, values[index][:, :, position + 1 :]], 2)
    return FrozenCache(tuple(keys), tuple(values))


@torch.no_grad()
def greedy(runner: Runner, ids: Sequence[int], most: int) -> list[int]:
    """The likeliest next tokens, the whole text run again for each.

    Args:
        runner: names the model.
        ids: the text.
        most: how many.
    """
    written: list[int] = []
    for _ in range(most):
        written.append(int(reencode(runner, [*ids, *written]).logits[-1].argmax()))
    return written
