"""Chunks on disk, each under a key made of everything that its keys and values depend on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing.chunk import Chunk, Sink, parts, precompile
from pkv_interp.composing.identity import identity_of, identity_parts, tokenizer_sha256
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.paths import expanded

#: Fields that a file must share with the model that reads it, with what each is called in a refusal.
_MODEL_FIELDS = {
    "weights": "weights",
    "rope": "rope configuration",
    "config": "configuration",
    "dtype": "dtype",
    "tokenizer": "tokenizer",
}


class ChunkLibrary:
    """A folder of chunks, one safetensors file each. Reading and writing may go on in several processes."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = expanded(folder)

    def path_of(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        text: str | Sequence[int],
        *,
        context: Sequence[int] = (),
        sink: Sink = "none",
        blind: bool = False,
        layout: AttentionLayout | None = None,
    ) -> Path:
        """The file of this text's chunk, whether it exists or not.

        Args:
            runner: the model.
            tokenizer: of the model.
            text: the chunk, as text or as ids.
            context: see ``precompile``.
            sink: see ``precompile``.
            blind: see ``precompile``.
            layout: see ``precompile``.
        """
        ids, context = parts(tokenizer, text, context, sink)
        fields = _fields(runner, tokenizer, ids, context, sink, blind, layout)
        return self.folder / f"{_key(fields)}.safetensors"

    def put(self, runner: Runner, tokenizer: PreTrainedTokenizerBase, chunk: Chunk) -> Path:
        """Write a chunk; a file is there whole or not at all.

        Args:
            runner: the model.
            tokenizer: of the model.
            chunk: made by that model.

        Raises:
            PkvError: the chunk is of another model or was not made as ``precompile`` does, or the folder
                cannot be written to.
        """
        if chunk.cache.pictured is not None:
            raise PkvError("a chunk with pictures is not kept on disk", "precompile it anew")
        if chunk.identity != identity_of(runner.model):
            raise PkvError("the chunk was made by another model", "precompile it with this model")
        made = runner.positions.regime(chunk.start + chunk.length)
        if chunk.cache.regime not in (None, made):
            raise PkvError(
                f"the chunk has rotary frequencies of {chunk.cache.regime}, and its file stands for {made}",
                "precompile it before it is put into a library",
            )
        fields = _fields(
            runner, tokenizer, chunk.ids, chunk.context, chunk.sink, chunk.blind, chunk.cache.layout
        )
        tensors = {"keys": _stacked(chunk.cache.keys), "values": _stacked(chunk.cache.values)}
        fields["content"] = _content(tensors)
        path = self.folder / f"{_key(fields)}.safetensors"
        atomic_write(path, save(tensors, metadata=fields))
        return path

    def read(self, path: str | Path, runner: Runner, tokenizer: PreTrainedTokenizerBase) -> Chunk:
        """Read one file.

        Args:
            path: of the file.
            runner: the model that it is for.
            tokenizer: of the model.

        Raises:
            PkvError: the file is missing or damaged, or was made with another model, dtype, rope
                configuration or tokenizer; the line names which.
        """
        path = Path(path)
        try:
            with safe_open(path, framework="pt") as file:
                fields: dict[str, str] = dict(file.metadata() or {})
                tensors = {name: file.get_tensor(name) for name in ("keys", "values")}
            ids, context = json.loads(fields["ids"]), json.loads(fields["context"])
            sink: Any = fields["sink"]
            blind, layout = fields.get("blind") == "true", _layout_of(fields.get("layout"))
            whole = _content(tensors) == fields["content"] and _key(fields) == path.stem
        except (SafetensorError, OSError, KeyError, ValueError, TypeError, PkvError) as error:
            raise _damaged(path) from error
        if not whole:
            raise _damaged(path)
        mine = _fields(runner, tokenizer, ids, context, sink, blind, layout)
        for field, called in _MODEL_FIELDS.items():
            if fields.get(field) != mine[field]:
                raise PkvError(
                    f"{path.name} was made with another {called}", "precompile the chunk with this model"
                )
        keys, values = (tuple(t.to(runner.model.device)) for t in (tensors["keys"], tensors["values"]))
        regime = runner.positions.regime(len(context) + len(ids))
        cache = FrozenCache(tuple(k[None] for k in keys), tuple(v[None] for v in values), regime, layout)
        return Chunk(tuple(ids), cache, len(context), tuple(context), sink, identity_of(runner.model), blind)

    def fetch(
        self,
        runner: Runner,
        tokenizer: PreTrainedTokenizerBase,
        text: str | Sequence[int],
        *,
        context: Sequence[int] = (),
        sink: Sink = "none",
        blind: bool = False,
        layout: AttentionLayout | None = None,
    ) -> Chunk:
        """The chunk of a text: read where it is on disk, else precompiled and put there.

        Args:
            runner: the model.
            tokenizer: of the model.
            text: the chunk, as text or as ids.
            context: see ``precompile``.
            sink: see ``precompile``.
            blind: see ``precompile``.
            layout: see ``precompile``.

        Raises:
            PkvError: as ``read``, ``put`` and ``precompile``.
        """
        asked: dict[str, Any] = {"context": context, "sink": sink, "blind": blind, "layout": layout}
        path = self.path_of(runner, tokenizer, text, **asked)
        if path.exists():
            return self.read(path, runner, tokenizer)
        chunk = precompile(runner, tokenizer, text, **asked)
        self.put(runner, tokenizer, chunk)
        return chunk


def _fields(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    context: Sequence[int],
    sink: str,
    blind: bool,
    layout: AttentionLayout | None,
) -> dict[str, str]:
    # What a plain chunk does not have is left out, so that its key is the one that it always had.
    special = {"blind": "true"} if blind else {}
    if layout is not None:
        special["layout"] = json.dumps(asdict(layout), sort_keys=True)
    return {
        **identity_parts(runner.model),
        "tokenizer": tokenizer_sha256(tokenizer),
        "ids": json.dumps(list(ids)),
        "context": json.dumps(list(context)),
        "sink": sink,
        **special,
    }


def _layout_of(told: str | None) -> AttentionLayout | None:
    return None if told is None else AttentionLayout(**json.loads(told))


def _key(fields: Mapping[str, str]) -> str:
    told = json.dumps({name: value for name, value in fields.items() if name != "content"}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def _stacked(layers: Sequence[Tensor]) -> Tensor:
    shapes = sorted({(t.shape[1], t.shape[3]) for t in layers})
    if len(shapes) != 1:
        told = ", ".join(f"{heads} heads of {width}" for heads, width in shapes)
        raise PkvError(
            f"layers keep several shapes ({told}), and a library's files hold one", "use precompile alone"
        )
    return torch.cat(list(layers)).contiguous().cpu()


def _content(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in ("keys", "values"):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _damaged(path: Path) -> PkvError:
    return PkvError(f"{path} is missing or damaged", "delete it and precompile the chunk again")
