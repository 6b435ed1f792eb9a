"""Compiled memories on disk: one safetensors file, refused by another model or tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensors_as_bytes
from torch import Tensor

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.regime import Regime
from pkv_interp.editing import Cost, State
from pkv_interp.editing.layout import Layout, Piece
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.memory.block import CompiledBlock, written
from pkv_interp.memory.compiled import CompiledMemory
from pkv_interp.models.identity import identity_of, identity_parts, tokenizer_sha256
from pkv_interp.paths import expanded
from pkv_interp.prompts.segments import Segment

#: What a file must share with the model that reads it, with what each is called in a refusal.
_MODEL_FIELDS = {
    "weights": "weights",
    "rope": "rope configuration",
    "config": "configuration",
    "dtype": "dtype",
    "tokenizer": "tokenizer",
}
_BLOCKS, _CONTENT = "blocks", "content"


def save(memory: CompiledMemory, path: str | Path) -> Path:
    """Write a memory; the file is there whole or not at all, and takes the place of an earlier version.

    It holds the columns as they are, so what an update left stale is stale when it is read again.

    Args:
        memory: one version of it.
        path: of the file.

    Raises:
        PkvError: the model's weights are no longer those that made the memory, or the file cannot be written.
    """
    place, model = expanded(path), memory.runner.model
    if identity_of(model) != memory.blocks[0].identity:
        raise PkvError("the model's weights are not those that made the memory", "precompile it again")
    tensors: dict[str, Tensor] = {}
    for number, block in enumerate(memory.blocks):
        for part in ("keys", "values"):
            layers = getattr(block.state.cache, part)
            tensors[f"{part}.{number}"] = torch.cat(list(layers)).contiguous().cpu()
    fields = {**_model_fields(memory.runner, memory.tokenizer)}
    fields[_BLOCKS] = json.dumps([_told(block) for block in memory.blocks])
    fields[_CONTENT] = _content(tensors, fields[_BLOCKS])
    atomic_write(place, tensors_as_bytes(tensors, metadata=fields))
    return place


def load(path: str | Path, model: Any, tokenizer: Any) -> CompiledMemory:
    """Read a memory back; nothing is run. Conversations know it as another one than was saved.

    Args:
        path: of the file.
        model: that is to use it.
        tokenizer: of the model.

    Raises:
        PkvError: the file is missing or damaged, or was made with another model, dtype, rope configuration or
            tokenizer; the line names which.
    """
    place, runner = expanded(path), Runner.of(model)
    try:
        with safe_open(place, framework="pt") as file:
            fields: dict[str, str] = dict(file.metadata() or {})
            told: list[dict[str, Any]] = json.loads(fields[_BLOCKS])
            names = [f"{part}.{number}" for number in range(len(told)) for part in ("keys", "values")]
            tensors = {name: file.get_tensor(name) for name in names}
        whole = bool(told) and _content(tensors, fields[_BLOCKS]) == fields[_CONTENT]
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise _damaged(place) from error
    if not whole:
        raise _damaged(place)
    mine = _model_fields(runner, tokenizer)
    for field, called in _MODEL_FIELDS.items():
        if fields.get(field) != mine[field]:
            raise PkvError(
                f"{place.name} was made with another {called}", "precompile the memory with this model"
            )
    identity = identity_of(model)
    blocks = tuple(
        _block(model, tokenizer, one, (tensors[f"keys.{i}"], tensors[f"values.{i}"]), identity)
        for i, one in enumerate(told)
    )
    return CompiledMemory(blocks, object())


def _told(block: CompiledBlock) -> dict[str, Any]:
    """What a block says, and how its columns were made, as JSON."""
    state = block.state
    (message,) = state.layout.head.messages
    own = message.segments[1:] if block.context else message.segments
    regime = state.cache.regime
    return {
        "context": block.context,
        "segments": [[one.kind, one.text, one.name] for one in own],
        "pieces": [[piece.text, list(piece.ids), piece.about] for piece in state.layout.pieces],
        "values": dict(state.fields),
        "hoisted": sorted(state.layout.hoisted),
        "fresh": state.fresh,
        "regime": None if regime is None else asdict(regime),
    }


def _block(
    model: Any, tokenizer: Any, told: Mapping[str, Any], columns: tuple[Tensor, Tensor], identity: str
) -> CompiledBlock:
    segments = tuple(Segment(kind, words, name) for kind, words, name in told["segments"])
    draft = written(model, tokenizer, segments, told["context"])
    pieces = tuple(Piece(words, tuple(ids), about) for words, ids, about in told["pieces"])
    layout = Layout(draft.head, told["values"], pieces, frozenset(told["hoisted"]))
    regime = None if told["regime"] is None else Regime(**told["regime"])
    keys, values = (tuple(layer[None] for layer in one.to(model.device)) for one in columns)
    cache = FrozenCache(keys, values, regime)
    if cache.length != len(layout.ids):
        raise PkvError(f"a block of {len(layout.ids)} tokens has {cache.length} columns", "precompile again")
    state = State(draft.context, layout, cache, "load", Cost(), fresh=told["fresh"])
    return CompiledBlock(state, told["context"], draft.start, identity)


def _model_fields(runner: Runner, tokenizer: Any) -> dict[str, str]:
    return {**identity_parts(runner.model), "tokenizer": tokenizer_sha256(tokenizer)}


def _content(tensors: Mapping[str, Tensor], told: str) -> str:
    digest = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path) -> PkvError:
    return PkvError(f"{path} is missing or damaged", "save the memory again")
