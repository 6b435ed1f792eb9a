"""What a model keeps in its cache and what each of its layers sees of it, measured on a few tokens.

A config can state a window that the model does not apply, or leave out that layers share a cache. So both are
read off forwards: columns of a small cache are changed one at a time, and a layer sees those that move the
model's output. Stated windows and chunks are set to a few positions while that is done, which shows at once
which layers follow them, however wide they are.
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
from pkv_interp.cache.window import Chunks, Window
from pkv_interp.errors import RAISED_BY_MODELS, PkvError
from pkv_interp.tolerances import tolerance_of

#: Positions that a window is narrowed to, the token itself included.
NARROW = 2
#: Tokens in the small cache: more than a narrow window lets through.
_FILLED = 4
#: The oldest column, the last one outside a narrow window, and the one inside.
_COLUMNS = (0, _FILLED - NARROW, _FILLED - NARROW + 1)
#: Changed caches that are run in one forward.
_BATCH = 32
#: Keys of a config, and of modules, that say how many tokens a layer sees.
_WINDOW = "sliding_window"
_STATED = (_WINDOW, "attention_chunk_size")
_NAMES = {"float64": "double|float64", "float16": "half|float16", "bfloat16": "bfloat16"}


@dataclass(frozen=True)
class Held:
    """What one layer keeps per token: two tensors, by heads and width of each.

    Attributes:
        keys: heads and width of the first, keys or, where ``latent``, what keys and values are made from.
        values: of the second, values or, where ``latent``, the part of the keys that carries the position.
        latent: the layer keeps its keys and values compressed (multi-head latent attention, MLA).
    """

    keys: tuple[int, int]
    values: tuple[int, int]
    latent: bool = False


@dataclass(frozen=True)
class Columns:
    """What a model keeps per token, measured.

    Attributes:
        windows: per layer what a token sees, itself included.
        held: per layer the shapes of what it keeps.
    """

    windows: tuple[Window, ...]
    held: tuple[Held, ...]


def measured_columns(model: PreTrainedModel) -> Columns:
    """What ``model`` keeps in its cache and sees of it, found once per model and what it rests on.

    Raises:
        PkvError: naming what the model keeps instead of two tensors per token in every layer, the layer that
            sees neither all tokens nor the last of them, or that the model is not causal or that its cache
            does not stand for the tokens in it.
    """
    return _FOUND.of(model)


@contextmanager
def narrowed(model: PreTrainedModel, chunk: int = NARROW) -> Iterator[None]:
    """Within the context, every window that the config or a module states is ``NARROW``.

    Args:
        model: whose windows are set, and put back.
        chunk: size of the chunks that it states.
    """
    config: Any = model.config.get_text_config()
    changed: list[tuple[Any, str, int]] = []
    for name in _STATED:
        holders: list[Any] = [config, *(m for m in model.modules() if hasattr(m, name))]
        kept = [(holder, getattr(holder, name, None)) for holder in holders]
        changed += [(holder, name, w) for holder, w in kept if isinstance(w, int) and w > 0]
    try:
        for holder, name, _ in changed:
            setattr(holder, name, NARROW if name == _WINDOW else chunk)
        yield
    finally:
        for holder, name, window in changed:
            setattr(holder, name, window)


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


@torch.no_grad()
def _measure(model: PreTrainedModel) -> Columns:
    config: Any = model.config.get_text_config()
    what, n_layers = type(model).__name__, int(config.num_hidden_layers)
    base = DynamicCache()
    ids = first_ids(model, _FILLED + 1)
    try:
        _hidden(model, ids[:_FILLED], 0, base)
        held = _held(base, n_layers, what, config)
        check_causal(model, ids[:_FILLED], ids[_FILLED], DynamicCache())
        _check_extends(model)
        stated = tuple(getattr(config, name, None) for name in _STATED)
        if not any(stated):
            return Columns((None,) * n_layers, held)
        seen = _seen(model, base, ids[_FILLED], NARROW)
        # In chunks of two the token is the first of one, in chunks of three the second.
        again = _seen(model, base, ids[_FILLED], NARROW + 1) if stated[1] else seen
    except RAISED_BY_MODELS as error:
        if isinstance(error, PkvError):
            raise
        refuse_dtype(error, model)
        raise PkvError(
            f"{what} does not run over a plain cache of keys and values: {error}",
            "use a model whose every layer is attention",
        ) from error
    rows = list(zip(seen, again, strict=True))
    windows = tuple(_width(row, layer, stated, what) for layer, row in enumerate(rows))
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * n_layers
    if len(set(zip(kinds, windows, strict=True))) != len(set(kinds)):
        raise PkvError(
            f"layers of {what} that its config calls alike see different numbers of tokens",
            "use a model whose layer_types name its windows",
        )
    return Columns(windows, held)


def _check_extends(model: PreTrainedModel) -> None:
    """Refuse a model whose next token over a cache is not the one over the tokens that the cache is of.

    Rounding can choose other experts for a token; of three texts one must agree.

    Raises:
        PkvError: a layer keeps something that is not in its columns.
    """
    size, worst = int(model.config.get_text_config().vocab_size), []
    for first in range(3):
        ids = [(first + token) % size for token in first_ids(model, _FILLED + 1)]
        whole, cache = _hidden(model, ids, 0, DynamicCache())[0, -1], DynamicCache()
        _hidden(model, ids[:_FILLED], 0, cache)
        miss = (_hidden(model, ids[_FILLED:], _FILLED, cache)[0, -1] - whole).abs().max()
        worst.append(float(miss / whole.abs().max().clamp_min(1e-30)))
        if worst[-1] <= tolerance_of(model.dtype).layout:
            return
    raise PkvError(
        f"a token that {type(model).__name__} reads over its cache is not that of the whole text: off by "
        f"{min(worst):.1e}",
        "use a model that keeps all it needs in keys and values per token",
    )


def _width(seen: tuple[list[bool], list[bool]], layer: int, stated: tuple[Any, ...], what: str) -> Window:
    """What a layer sees, from what its narrowed forms saw in chunks of two and of three."""
    window, chunk = stated
    alone, last = [False, False, False], [False, False, True]
    if all(seen[0]) and all(seen[1]):
        return None
    if seen == (last, last) and isinstance(window, int):
        return window
    if seen == (alone, last) and isinstance(chunk, int):
        return Chunks(chunk)
    told = " or ".join(str(width) for width in stated if width)
    raise PkvError(
        f"layer {layer} of {what} sees neither all tokens nor the last {told} of them",
        "use a model whose layers are all full, sliding or chunked attention",
    )


def _held(cache: DynamicCache, n_layers: int, what: str, config: Any) -> tuple[Held, ...]:
    """Heads and widths of what every layer keeps."""
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
    found = [tuple(tuple(one.shape[1::2]) for one in pair if one is not None) for pair in pairs]
    # Newer versions keep the latent itself, and expand it when attention asks for it.
    kept = (getattr(config, "kv_lora_rank", None), getattr(config, "qk_rope_head_dim", None))
    return tuple(Held(key, value, ((1, kept[0]), (1, kept[1])) == (key, value)) for key, value in found)


def _seen(model: PreTrainedModel, base: DynamicCache, token: int, chunk: int) -> list[list[bool]]:
    """Per layer, whether the next token sees each of ``_COLUMNS`` when windows and chunks are narrow."""
    n_layers = len(base.layers)
    found: list[list[bool]] = [[] for _ in range(n_layers)]
    with narrowed(model, chunk):
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
