"""Greedy continuation of frozen caches, several at once, with the model's own forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.cache.masks import refuse_restricted
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.regime import Regime
from pkv_interp.cache.state import refuse_training
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite_logits
from pkv_interp.ids import TokenIds, as_ids
from pkv_interp.indices import whole
from pkv_interp.models.ending import end_tokens
from pkv_interp.models.load import LoadedModel


@dataclass(frozen=True, eq=False)
class Continuation:
    """What one cache was continued with.

    Attributes:
        ids: new tokens, without the end token.
        cache: of the prompt and all new tokens.
        stopped: the model ended by itself; otherwise the text is cut at the limit.
    """

    ids: tuple[int, ...]
    cache: FrozenCache
    stopped: bool


@torch.no_grad()
def continue_greedily(
    loaded: LoadedModel, last: int, caches: Sequence[FrozenCache], most: int
) -> list[Continuation]:
    """Continue each cache after the token ``last`` by the token of largest logit, ``most`` tokens at most.

    The caches are of one length and are read, never written: the forward grows a batch of copies. The model
    makes its own masks, so windows and softcaps are its own as well.

    Raises:
        PkvError: caches of different lengths, a limit below 1, an id out of range, logits that are not
            finite, or a text that could grow past what the model serves or past a length at which its rotary
            frequencies change.
    """
    last, most = as_ids([last], loaded.spec.vocab_size)[0], _limit(most)
    lengths = {cache.length for cache in caches}
    if len(lengths) != 1:
        raise PkvError(
            f"{len(caches)} caches of {len(lengths)} lengths were to be continued",
            "give caches of one length",
        )
    start = caches[0].length + 1
    regime = _checked(loaded, caches, start + most)
    ends = end_tokens(loaded.model, loaded.tokenizer)
    cache = _batch(caches)
    new: list[list[int]] = [[] for _ in caches]
    stopped = [False] * len(caches)
    current = [last] * len(caches)
    for _ in range(most):
        current = _forward(loaded, [[token] for token in current], cache)[:, -1].argmax(-1).tolist()
        for row, token in enumerate(current):
            stopped[row] = stopped[row] or token in ends
            if not stopped[row]:
                new[row].append(token)
        if all(stopped):
            break
    else:
        _forward(loaded, [[token] for token in current], cache)  # the last choice has no column yet
    return [
        Continuation(tuple(ids), _row(cache, row, start + len(ids), regime, caches[row]), stopped[row])
        for row, ids in enumerate(new)
    ]


@torch.no_grad()
def extend(loaded: LoadedModel, ids: TokenIds, cache: FrozenCache) -> Prefill:
    """The prompt ``ids`` over a cache that holds its first tokens and may be an edited one.

    Tokens after the cache are run, so that ``Engine.decode`` can ask for the decision of the last one under
    knockouts and KV patches. Activations inside the model are not captured: they are NaN.

    Args:
        loaded: the model.
        ids: the whole prompt.
        cache: of its first tokens, at least one fewer than ``ids``.

    Raises:
        PkvError: the cache is longer than that, the prompt longer than the model serves, or its rotary
            frequencies are not those of the cache.
    """
    ids = as_ids(ids, loaded.spec.vocab_size)
    if cache.length >= len(ids):
        raise PkvError(
            f"a cache of {cache.length} tokens leaves none of {len(ids)} to run", "give a shorter cache"
        )
    regime = _checked(loaded, [cache], len(ids))
    grown = cache.view()
    logits = _forward(loaded, [list(ids[cache.length :])], grown)[0, -1].float()
    spec = loaded.spec

    def unknown(*shape: int) -> Tensor:
        return torch.full(shape, float("nan"), device=logits.device)

    return Prefill(
        ids=tuple(ids),
        cache=FrozenCache.of(grown, regime, cache.layout).slice(0, len(ids) - 1),
        logits=logits,
        z=unknown(spec.n_layers, spec.n_heads, spec.head_dim),
        mlp=unknown(spec.n_layers, spec.d_model),
        resid=unknown(spec.n_layers + 1, spec.d_model),
        given=cache.length,
    )


def _forward(
    loaded: LoadedModel, rows: Sequence[Sequence[int]], cache: DynamicCache
) -> Float[Tensor, "rows 1 vocab"]:
    """Logits after the last token of each row; ``cache`` grows by the tokens."""
    model: Any = loaded.model
    tokens = torch.tensor(rows, device=loaded.device)
    start = cache.get_seq_length()
    at = torch.arange(start, start + tokens.shape[1], device=loaded.device)
    placed = at_positions(model, at, len(rows))
    with fresh_rotation(model):
        out = model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1, **placed)
    return finite_logits(out.logits)


def _checked(loaded: LoadedModel, caches: Sequence[FrozenCache], length: int) -> Regime | None:
    """The frequencies of a context that the caches may be continued to."""
    refuse_training(loaded.model)
    positions = Positions.of(loaded.model)
    positions.check_served(length)
    for cache in caches:
        positions.check_cache(cache, length)
        refuse_restricted(cache)
    return positions.regime(length)


def _limit(most: int) -> int:
    return whole(most, "the limit of new tokens", 1, "give a limit of at least 1")


def _batch(caches: Sequence[FrozenCache]) -> DynamicCache:
    """A growing cache of full layers, one row per frozen cache."""
    batch = DynamicCache()
    for index in range(caches[0].n_layers):
        layer = DynamicLayer()
        keys = torch.cat([cache.keys[index] for cache in caches])
        values = torch.cat([cache.values[index] for cache in caches])
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        batch.layers.append(layer)
    return batch


def _row(
    batch: DynamicCache, row: int, length: int, regime: Regime | None, before: FrozenCache
) -> FrozenCache:
    """One row's first ``length`` columns, those of ``before`` and what came after them."""
    layers: list[Any] = batch.layers
    return FrozenCache(
        tuple(layer.keys[row : row + 1, :, :length] for layer in layers),
        tuple(layer.values[row : row + 1, :, :length] for layer in layers),
        regime,
        before.layout,
    )
