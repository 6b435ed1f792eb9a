"""Writing a cache for an engine: a state of an edited context, or any cache with its tokens."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.cache.masks import refuse_restricted
from pkv_interp.cache.window import Chunks
from pkv_interp.editing import State
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.finite import finite
from pkv_interp.ids import TokenIds
from pkv_interp.models.identity import config_of, identity_parts, tokenizer_sha256
from pkv_interp.paths import expanded
from pkv_interp.serving import stored

#: Tokens of the plain prefill that a file carries. Every layer's weights are in the second token's columns.
PROBE = 8


def export(
    made: State | FrozenCache,
    folder: str | Path,
    *,
    runner: Runner | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
    ids: TokenIds | None = None,
) -> Path:
    """Write a cache as one safetensors file whose name is the sha256 of all that it stands for.

    Weights, dtype, rotary configuration, configuration and tokenizer of the model, the token ids, and the
    keys and values themselves: a stale and an edited cache of one text have two names. A file is there
    whole or not at all. It also carries the columns of a plain prefill of the first tokens.

    Args:
        made: a state; or a cache, with the three below.
        folder: is made where it is not there.
        runner: of the model that made the cache.
        tokenizer: of that model.
        ids: one per column.

    Raises:
        PkvError: an empty cache, ids of another number, numbers that are not finite, a cache of another
            model's shape or dtype or one that ends before its attention layout's last block, a model whose
            rotary frequencies follow the length of the context (engines choose those by rules of their own),
            or a folder that cannot be written to.
    """
    if isinstance(made, State):
        if (runner, tokenizer, ids) != (None, None, None):
            raise PkvError(
                "a state was given with a runner, a tokenizer or ids", "give the state alone: it has its own"
            )
        runner, tokenizer, ids = made.context.runner, made.context.renderer.tokenizer, made.ids
    if runner is None or tokenizer is None or ids is None:
        raise PkvError("a cache alone does not say what it is of", "give runner, tokenizer and ids with it")
    cache = made.cache if isinstance(made, State) else made
    given = runner.checked(ids)
    if len(given) != cache.length:
        raise PkvError(f"{len(given)} ids for a cache of {cache.length} tokens", "give one id per column")
    refuse_restricted(cache)
    if runner.positions.boundary is not None:
        raise PkvError(
            f"rotary frequencies of {type(runner.model).__name__} follow the length of the context, and an "
            "engine chooses them by a rule of its own",
            "serve a model whose frequencies are fixed",
        )
    shapes = {tensor.shape for tensor in (*cache.keys, *cache.values)}
    if len(shapes) != 1 or any(isinstance(window, Chunks) for window in runner.windows):
        kept = "a state" if not shapes else "chunks or several shapes of columns"
        raise PkvError(
            f"{type(runner.model).__name__} keeps {kept}, and engines are given keys and values of one shape",
            "serve a model of full or sliding attention with one shape of keys and values",
        )
    probe = runner.prefill(given[:PROBE]).cache
    _check_form(cache, probe)
    tensors = {
        "keys": _stacked(cache.keys),
        "values": _stacked(cache.values),
        "probe_keys": _stacked(probe.keys),
        "probe_values": _stacked(probe.values),
    }
    for name, tensor in tensors.items():
        finite(tensor, f"the cache's {name}")
    fields = {
        **identity_parts(runner.model),
        "format": stored.FORMAT,
        "settings": json.dumps(config_of(runner.model), sort_keys=True, default=str),
        "dtype": str(runner.model.dtype).removeprefix("torch."),
        "tokenizer": tokenizer_sha256(tokenizer),
        "ids": json.dumps(list(given)),
        "windows": json.dumps(list(runner.windows)),
        "vocab": str(int(runner.model.config.get_text_config().vocab_size)),
        "content": stored.content_of(tensors),
    }
    path = stored.path_of(expanded(folder), stored.key_of(fields))
    atomic_write(path, save(tensors, metadata=fields))
    return path


def _check_form(cache: FrozenCache, own: FrozenCache) -> None:
    """Refuse a cache that this model cannot have made."""
    forms = [(c.n_layers, c.keys[0].shape[1], c.keys[0].shape[3], c.keys[0].dtype) for c in (cache, own)]
    if forms[0] != forms[1]:
        told = [f"{n} layers of {h} heads of {d} in {t}" for n, h, d, t in forms]
        raise PkvError(f"the cache has {told[0]}, and the model {told[1]}", "give the model that made it")


def _stacked(layers: tuple[Tensor, ...]) -> Tensor:
    return torch.cat(list(layers)).contiguous().cpu()
