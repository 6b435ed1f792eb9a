"""What a model keeps in its cache and what each of its layers sees of it, measured on a few tokens.

A config can state a window that the model does not apply, or leave out that layers share a cache. So both are
read off forwards: columns of a small cache are changed one at a time, and a layer sees those that move the
model's output. Stated windows are set to two positions while that is done, which shows at once which layers
follow them, however wide they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache.causal import check_causal, hidden
from pkv_interp.cache.state import PerForm
from pkv_interp.errors import PkvError
from pkv_interp.tolerances import tolerance_of

#: Positions that a window is narrowed to, the token itself included.
NARROW = 2
#: Tokens in the small cache: more than a narrow window lets through.
_FILLED = 4
#: The oldest column, the last one outside a narrow window, and the one inside.
_COLUMNS = (0, _FILLED - NARROW, _FILLED - NARROW + 1)
#: Changed caches that are run in one forward.
_BATCH = 32
_NAMES = {"float64": "double|float64", "float16": "half|float16", "bfloat16": "bfloat16"}
_RAISED = (RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError)


@dataclass(frozen=True)
class Columns:
    """What a model keeps per token, measured.

    Attributes:
        windows: per layer the number of positions a token sees, itself included, or None for all.
        n_kv_heads: key and value heads of every layer.
        head_dim: width of a key and of a value.
    """

    windows: tuple[int | None, ...]
    n_kv_heads: int
    head_dim: int


def measured_columns(model: PreTrainedModel) -> Columns:
    """What ``model`` keeps in its cache and sees of it, found once per model and what it rests on.

    Raises:
        PkvError: naming what the model keeps instead of one key and one value per token in every layer, the
            layer that sees neither all tokens nor the last of them, or that the model is not causal.
    """
    return _FOUND.of(model)


def refuse_compressed(model: PreTrainedModel) -> None:
    """Refuse multi-head latent attention (MLA), whose keys are wider than its values and made from a latent.

    Raises:
        PkvError: the config states a rank of compressed keys and values.
    """
    if getattr(model.config.get_text_config(), "kv_lora_rank", None):
        raise PkvError(
            f"{type(model).__name__} compresses its keys and values (multi-head latent attention, MLA)",
            "use a model that keeps plain keys and values per head",
        )


@contextmanager
def narrowed(model: PreTrainedModel) -> Iterator[None]:
    """Within the context, every window that the config or a module states is ``NARROW``."""
    config: Any = model.config.get_text_config()
    holders: list[Any] = [config, *(m for m in model.modules() if hasattr(m, "sliding_window"))]
    kept = [(holder, _window_of(holder)) for holder in holders]
    changed = [(holder, window) for holder, window in kept if isinstance(window, int) and window > 0]
    try:
        for holder, _ in changed:
            holder.sliding_window = NARROW
        yield
    finally:
        for holder, window in changed:
            holder.sliding_window = window


def refuse_dtype(error: Exception, model: PreTrainedModel) -> None:
    """Refuse the model's dtype where that is what a forward failed over.

    Raises:
        PkvError: a kernel does not take it.
    """
    dtype = str(model.dtype).removeprefix("torch.")
    # Kernels name the dtype that they do not take, some by its name in C++.
    if dtype in _NAMES and re.search(rf"\b({_NAMES[dtype]})\b", str(error), re.IGNORECASE):
        raise PkvError(
            f"{type(model).__name__} does not run in {dtype}: {error}", "set model.dtype=float32"
        ) from error


def first_ids(model: PreTrainedModel, n: int) -> list[int]:
    """``n`` token ids that differ as far as the vocabulary allows."""
    size = int(model.config.get_text_config().vocab_size)
    return [(7 + 31 * index) % size for index in range(n)]


def _window_of(holder: Any) -> Any:
    return getattr(holder, "sliding_window", None)


@torch.no_grad()
def _measure(model: PreTrainedModel) -> Columns:
    config: Any = model.config.get_text_config()
    what, n_layers = type(model).__name__, int(config.num_hidden_layers)
    refuse_compressed(model)
    base = DynamicCache()
    ids = first_ids(model, _FILLED + 1)
    try:
        _hidden(model, ids[:_FILLED], 0, base)
        heads, width = _shape(base, n_layers, what)
        check_causal(model, ids[:_FILLED], ids[_FILLED], DynamicCache())
        window = _window_of(config)
        if not window:
            return Columns((None,) * n_layers, heads, width)
        seen = _seen(model, base, ids[_FILLED])
    except _RAISED as error:
        if isinstance(error, PkvError):
            raise
        refuse_dtype(error, model)
        raise PkvError(
            f"{what} does not run over a plain cache of keys and values: {error}",
            "use a model whose every layer is attention",
        ) from error
    windows = tuple(_width(row, layer, window, what) for layer, row in enumerate(seen))
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * n_layers
    if len(set(zip(kinds, windows, strict=True))) != len(set(kinds)):
        raise PkvError(
            f"layers of {what} that its config calls alike see different numbers of tokens",
            "use a model whose layer_types name its windows",
        )
    return Columns(windows, heads, width)


def _width(seen: list[bool], layer: int, window: Any, what: str) -> int | None:
    if all(seen):
        return None
    if seen != [False, False, True] or not isinstance(window, int):
        raise PkvError(
            f"layer {layer} of {what} sees neither all tokens nor the last {window} of them",
            "use a model whose layers are all full or sliding attention",
        )
    return window


def _shape(cache: DynamicCache, n_layers: int, what: str) -> tuple[int, int]:
    """KV heads and their width, the same in all layers."""
    layers: list[Any] = cache.layers
    if not layers:
        raise PkvError(
            f"{what} keeps no cache of keys and values", "use a model that does, as newer decoders do"
        )
    if len(layers) != n_layers:
        raise PkvError(
            f"{what} has {n_layers} layers and keeps keys and values of {len(layers)}: layers share a cache",
            "use a model whose every layer keeps its own keys and values",
        )
    pairs = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in layers]
    for index, pair in enumerate(pairs):
        if not all(isinstance(one, Tensor) and one.ndim == 4 and one.shape[2] == _FILLED for one in pair):
            raise PkvError(
                f"layer {index} of {what} keeps no key and value per token",
                "use a model whose every layer is attention with a cache of its own",
            )
    shapes = {tuple(one.shape[1::2]) for pair in pairs for one in pair if one is not None}
    if len(shapes) != 1:
        told = ", ".join(f"{heads} heads of {width}" for heads, width in sorted(shapes))
        raise PkvError(
            f"keys and values of {what} have several shapes ({told})",
            "use a model with one shape of keys and values in all layers",
        )
    return shapes.pop()


def _seen(model: PreTrainedModel, base: DynamicCache, token: int) -> list[list[bool]]:
    """Per layer, whether the next token sees each of ``_COLUMNS`` when windows are narrow."""
    n_layers = len(base.layers)
    found: list[list[bool]] = [[] for _ in range(n_layers)]
    with narrowed(model):
        for column in _COLUMNS:
            for start in range(0, n_layers, _BATCH):
                chosen = range(start, min(start + _BATCH, n_layers))
                out = _hidden(model, [token], _FILLED, _changed(base, chosen, column), len(chosen) + 1)
                moved = (out[1:] - out[:1]).abs().amax((1, 2))
                floor = tolerance_of(model.dtype).layout * float(out[0].abs().max())
                for layer, by in zip(chosen, moved.tolist(), strict=True):
                    found[layer].append(not by <= floor)  # not finite: moved as well
    return found


def _changed(base: DynamicCache, chosen: range, column: int) -> DynamicCache:
    """Copies of a cache, one as it is and one per chosen layer with that layer's values at a column blown up.

    A column that is hidden weighs exactly 0, however large its value; one that is seen shows.
    """
    copies, layers = DynamicCache(), list[Any](base.layers)
    for index, layer in enumerate(layers):
        keys, values = (t.expand(len(chosen) + 1, -1, -1, -1) for t in (layer.keys, layer.values))
        if index in chosen:
            values = values.clone()
            large = 1e2 if values.dtype == torch.float16 else 1e4
            values[1 + index - chosen.start, :, column] = large * float(values[0].abs().max())
        made = DynamicLayer()
        made.lazy_initialization(keys, values)
        made.keys, made.values = keys, values
        copies.layers.append(made)
    return copies


def _hidden(
    model: PreTrainedModel, ids: list[int], start: int, cache: DynamicCache, rows: int = 1
) -> Float[Tensor, "rows n d_model"]:
    """The last hidden states of the same tokens after a cache in every row, in float32."""
    return hidden(model, torch.tensor([ids] * rows, device=model.device), cache, start)


_FOUND = PerForm(_measure)
