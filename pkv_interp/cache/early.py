"""Values at an early layer, with the layers above it left out; and which of them move (CacheBlend)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.blocks import BlockLayer
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.masks import restricted
from pkv_interp.cache.measured import measured_columns
from pkv_interp.cache.suffix_attention import unmasked
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.ids import TokenIds
from pkv_interp.indices import index_below, whole

#: The first layer whose values depend on other tokens; values at layer 0 depend only on their own token.
EARLY_LAYER = 1


@torch.no_grad()
def early_values(
    runner: Runner, cache: FrozenCache, ids: TokenIds, layer: int
) -> Float[Tensor, "1 n_kv new d"]:
    """Values that the tokens ``ids`` after a cache have at ``layer``; latents where it compresses (MLA).

    A forward ends when that layer has its keys and values: only the layers below it are run, in blocks as in
    ``Runner.extend``.

    Raises:
        PkvError: there is no such layer or id, or the text grows past what the model serves, or to a length
            whose rotary frequencies are not those of the cache.
    """
    layer = index_below(layer, cache.n_layers, "layer")
    ids = runner.checked(ids)
    runner, model = runner.reading(cache, ids), runner.model
    length = cache.length + len(ids)
    runner.positions.check_cache(cache, length)
    runner.positions.check_served(length)
    layers = runner.layers(cache, length)
    layers[layer] = _LastLayer(cache.keys[layer], cache.values[layer], length, runner.windows[layer])
    tokens = torch.tensor([list(ids)], device=model.device)
    at = torch.arange(cache.length, length, device=model.device)
    found: list[tuple[Tensor, Tensor]] = []
    with fresh_rotation(model), unmasked(model, runner.windows) as keywords:
        for block in runner.blocks(at):
            for each in layers:
                each.place(at[block])
            grown = DynamicCache()
            grown.layers.extend(layers)
            extra = keywords(at[block])
            if restricted(cache.layout, at[block]):
                extra = runner.masks(at[block], cache.layout)
            try:
                runner.forward(tokens[:, block], at[block], grown, **extra)
            except _ReachedError as reached:
                found.append(reached.columns)
            else:
                raise PkvError(f"the model does not write layer {layer} to its cache", "choose another layer")
    own = [_values(runner, layer, *columns) for columns in found]
    return finite(torch.cat(own, 2), "the values of that layer")


def _values(runner: Runner, layer: int, keys: Tensor, values: Tensor) -> Tensor:
    """What of a layer's columns its values are, or are made from."""
    return keys if measured_columns(runner.model).held[layer].latent else values


def most_moved(
    runner: Runner,
    cache: FrozenCache,
    start: int,
    ids: TokenIds,
    candidates: Sequence[int],
    n: int,
    layer: int = EARLY_LAYER,
) -> list[int]:
    """The ``n`` positions whose values at an early layer change most when they are computed again, in order.

    After CacheBlend (arXiv 2405.16444); the choice is made once here and not narrowed layer by layer. The
    ``ids`` are run after the columns before ``start``, up to ``layer``; the squared difference of their
    values there from the cached ones ranks the positions.

    Args:
        runner: the model.
        cache: whose values are compared with the new ones.
        start: position of the first of ``ids``.
        ids: tokens of consecutive positions.
        candidates: positions to choose from, among those of ``ids``.
        n: how many positions are chosen.
        layer: whose values are compared.

    Raises:
        PkvError: layer 0, whose values depend only on their own token, or a layer, candidate or id that does
            not exist.
    """
    ids, layer, n = runner.checked(ids), whole(layer, "layer"), whole(n, "n", 0)
    chosen = [start + index_below(at - start, len(ids), "place among the ids") for at in candidates]
    if not 1 <= layer < cache.n_layers:
        raise PkvError(
            f"layer {layer} cannot tell which tokens read others", f"use 1 to {cache.n_layers - 1}"
        )
    fresh = early_values(runner.reading(cache), cache.slice(0, start), ids, layer)
    known = _values(runner, layer, cache.keys[layer], cache.values[layer])
    moved = (fresh - known[:, :, start : start + len(ids)]).float().square().sum((0, 1, 3))
    order = torch.argsort(moved[[at - start for at in chosen]], descending=True, stable=True)
    return sorted(chosen[i] for i in order[:n].tolist())


class _ReachedError(Exception):
    def __init__(self, *columns: Tensor) -> None:
        super().__init__("the layer has its values")
        self.columns: tuple[Tensor, Tensor] = (columns[0], columns[1])


class _LastLayer(BlockLayer):
    """Ends the forward where the layer's columns would be written."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        del args, kwargs
        raise _ReachedError(key_states, value_states)
