"""The form of an exported cache on disk. Imports the standard library, torch and safetensors alone.

Read in the environment of an engine, whose transformers is another than ours: see ``vllm_connector``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pkv_interp.errors import PkvError, short

FORMAT = "pkv-serving-1"
#: What a file tells besides its tensors; ``content`` is the sha256 of these.
FIELDS = (
    "format",
    "weights",
    "rope",
    "config",
    "settings",
    "dtype",
    "tokenizer",
    "ids",
    "windows",
    "vocab",
    "content",
)
#: Keys and values of the whole cache, and of a plain prefill of its first tokens, by which an engine that
#: can be looked into is compared with the model.
TENSORS = ("keys", "values", "probe_keys", "probe_values")
_KEY = re.compile(r"[0-9a-f]{64}")


class Unserved(PkvError):
    """Why a request that names a cache is not served from it.

    Args:
        reason: a few words, under which such requests are counted.
        cause: what is wrong.
        hint: what to do about it.
    """

    def __init__(self, reason: str, cause: str, hint: str) -> None:
        super().__init__(cause, hint)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class Stored:
    """A cache as it was exported, whole: its content has the sha256 that its name was made from.

    Attributes:
        key: its name, of all that is told below.
        ids: token ids, one per column; a request's prompt must begin with them.
        weights: sha256 of the model's weights (``pkv_interp.models.hashing.weight_sha256``).
        settings: the model's configuration as transformers has it, without what no forward reads.
        dtype: of the weights and of the columns, as "float32".
        windows: per layer the positions that a token sees, None for all.
        vocab: rows of the model's embedding.
        keys: Float[layers, n_kv, T, d], after rotation, in the layout of transformers (halves).
        values: Float[layers, n_kv, T, d].
        probe_keys: keys of a plain prefill of the first tokens, Float[layers, n_kv, P, d].
        probe_values: their values.
    """

    key: str
    ids: tuple[int, ...]
    weights: str
    settings: Mapping[str, Any]
    dtype: str
    windows: tuple[int | None, ...]
    vocab: int
    keys: Tensor
    values: Tensor
    probe_keys: Tensor
    probe_values: Tensor

    @property
    def length(self) -> int:
        """Number of columns, T."""
        return len(self.ids)


def key_of(fields: Mapping[str, str]) -> str:
    """The name of a file: sha256 over its fields, of which one is the sha256 of its tensors."""
    told = json.dumps({name: fields[name] for name in FIELDS}, sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()


def content_of(tensors: Mapping[str, Tensor]) -> str:
    """sha256 over names, dtypes, shapes and bytes of contiguous tensors on the CPU."""
    digest = hashlib.sha256()
    for name in TENSORS:
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def path_of(folder: str | Path, key: object) -> Path:
    """The file of a cache by its name.

    Raises:
        Unserved: what was given is no name that ``export`` makes, so no path is made of it.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        hint = "use the name of the file that export wrote"
        raise Unserved("no name", f"{short(key)} is no name of a cache", hint)
    return Path(folder) / f"{key}.safetensors"


def read(path: Path) -> Stored:
    """Read a file and check that it is whole and stands under its own name.

    Raises:
        Unserved: it is missing, damaged, renamed, or of another format.
    """
    hint = "export the cache again"
    if not path.is_file():
        raise Unserved("missing", f"there is no cache {path.name}", hint)
    damaged = Unserved("damaged", f"{path.name} is damaged", hint)
    try:
        with safe_open(path, framework="pt") as file:
            fields: dict[str, str] = dict(file.metadata() or {})
            if fields.get("format") != FORMAT:
                told = short(fields.get("format", "unknown"))
                raise Unserved("damaged", f"{path.name} is of format {told}", hint)
            tensors = {name: file.get_tensor(name).contiguous() for name in TENSORS}
        whole = content_of(tensors) == fields["content"] and key_of(fields) == path.stem
        ids, windows = tuple(json.loads(fields["ids"])), tuple(json.loads(fields["windows"]))
        vocab, settings = int(fields["vocab"]), json.loads(fields["settings"])
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        if isinstance(error, PkvError):
            raise
        raise damaged from error
    if not whole or tensors["keys"].shape[2] != len(ids):
        raise damaged
    return Stored(path.stem, ids, fields["weights"], settings, fields["dtype"], windows, vocab, **tensors)
