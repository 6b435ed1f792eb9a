"""Finished parts of a run, kept on disk until the run succeeds."""

import hashlib
import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from pydantic import BaseModel
from safetensors import SafetensorError

from pkv_interp.errors import PkvError
from pkv_interp.records.writer import atomic_write, tensor_bytes

log = logging.getLogger(__name__)
_TENSOR, _ARRAY = "__tensor__", "__array__"


def encode(value: Any, tensors: dict[str, torch.Tensor], where: str = "") -> Any:
    """JSON form of ``value``; tensors and arrays in it move to ``tensors`` and leave a marker.

    Raises:
        PkvError: a mapping with keys other than strings, or a type that has no JSON form.
    """
    if isinstance(value, torch.Tensor | np.ndarray):
        name = f"t{len(tensors)}"
        is_tensor = isinstance(value, torch.Tensor)
        tensors[name] = value if is_tensor else torch.from_numpy(np.ascontiguousarray(value))
        # The shape is kept because numpy's contiguous copy of a scalar has one axis.
        return {_TENSOR if is_tensor else _ARRAY: name, "shape": list(value.shape)}
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise PkvError(f"a chunk has a key that is not text at {where or '/'}", "use text keys")
        return {name: encode(inner, tensors, f"{where}/{name}") for name, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [encode(inner, tensors, f"{where}/{i}") for i, inner in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise PkvError(
        f"a chunk holds a {type(value).__name__} at {where or '/'}",
        "return numbers, text, lists, mappings, arrays and tensors only",
    )


def decode(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """Inverse of ``encode``; tensors come back on the CPU, arrays as numpy arrays."""
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]].reshape(value["shape"])
        if _ARRAY in value:
            return tensors[value[_ARRAY]].reshape(value["shape"]).numpy()
        return {name: decode(inner, tensors) for name, inner in value.items()}
    if isinstance(value, list):
        return [decode(inner, tensors) for inner in value]
    return value


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class Chunk:
    """What a finished part returned, and the seconds it took."""

    data: Any
    seconds: float


@dataclass(frozen=True)
class ChunkFolder:
    """The chunks of one run, in ``folder``.

    A chunk is a JSON index, written last, and a safetensors file where it has tensors. The index holds a hash
    of both, so that a chunk that a crash left half written is not taken for a finished one.
    """

    folder: Path

    def _stem(self, name: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip(".-")
        return self.folder / f"{readable}-{_sha256(name.encode())[:12]}"

    def save(self, name: str, data: Any, seconds: float) -> Chunk:
        """Write the chunk and return it as a later ``read`` would, so that both ways give the same types.

        Raises:
            PkvError: it has no JSON form, or the disk is full.
        """
        tensors: dict[str, torch.Tensor] = {}
        payload = json.dumps(encode(data, tensors))
        stem = self._stem(name)
        content = tensor_bytes(tensors) if tensors else b""
        if tensors:
            atomic_write(stem.with_name(stem.name + ".safetensors"), content)
        index = {
            "name": name,
            "seconds": seconds,
            "payload_sha256": _sha256(payload.encode()),
            "tensors_sha256": _sha256(content) if tensors else None,
            "payload": payload,
        }
        atomic_write(stem.with_name(stem.name + ".json"), json.dumps(index).encode())
        held = safetensors.torch.load(content) if tensors else {}
        return Chunk(decode(json.loads(payload), held), seconds)

    def read(self, name: str) -> Chunk | None:
        """The finished chunk, or None where there is none; a damaged one is None as well, with a warning."""
        stem = self._stem(name)
        path = stem.with_name(stem.name + ".json")
        if not path.exists():
            return None
        try:
            index = json.loads(path.read_bytes())
            payload = index["payload"]
            if index["name"] != name or _sha256(payload.encode()) != index["payload_sha256"]:
                raise ValueError("the index does not match its hash")
            held: dict[str, torch.Tensor] = {}
            if index["tensors_sha256"] is not None:
                content = stem.with_name(stem.name + ".safetensors").read_bytes()
                if _sha256(content) != index["tensors_sha256"]:
                    raise ValueError("the tensors do not match their hash")
                held = safetensors.torch.load(content)
            return Chunk(decode(json.loads(payload), held), float(index["seconds"]))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            log.warning("chunk %r in %s is damaged (%s) and is computed again", name, path, error)
            return None

    def remove(self) -> None:
        """Delete all chunks of the run, and the parent folder when it was the last run in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.folder.parent.is_dir() and not any(self.folder.parent.iterdir()):
            self.folder.parent.rmdir()
