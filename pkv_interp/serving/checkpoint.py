"""The sha256 of a checkpoint's weights, from its files. Needs torch and safetensors alone.

It equals ``pkv_interp.models.hashing.weight_sha256`` of the model that transformers loads from the folder
in the same dtype, for models whose weights have the same names in memory as on disk. For others (experts
that are fused on loading) it is another, and their caches are refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from pkv_interp.serving.stored import Unserved

#: Names of one tensor where it is tied: it is hashed under the first.
_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def checkpoint_sha256(folder: Path, dtype: torch.dtype) -> str:
    """sha256 over names, dtypes, shapes and bytes of a checkpoint's weights.

    Args:
        folder: with ``config.json`` and safetensors files.
        dtype: that the engine serves them in.

    Raises:
        Unserved: it is no such folder, or a file is damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        where = dict(_names(folder))
        if _tied(config) and _HEAD not in where and _EMBEDDING in where:
            where[_HEAD] = (where.pop(_EMBEDDING)[0], _EMBEDDING)
        digest = hashlib.sha256()
        for name, (file, stored) in sorted(where.items()):
            with safe_open(file, framework="pt") as reader:
                tensor = reader.get_tensor(stored)
            if tensor.is_floating_point():
                tensor = tensor.to(dtype)
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    except (OSError, ValueError, SafetensorError) as error:
        cause = f"the weights in {folder} cannot be read: {error}"
        raise Unserved("other weights", cause, "serve a folder of safetensors files") from error
    if not where:
        raise Unserved("other weights", f"{folder} has no safetensors files", "serve a folder that has")
    return digest.hexdigest()


def _names(folder: Path) -> Iterator[tuple[str, tuple[Path, str]]]:
    """Every tensor with its file and its name there; the index says which files count, where there is one."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        for name, file in json.loads(index.read_text(encoding="utf-8"))["weight_map"].items():
            yield name, (folder / file, name)
        return
    for file in sorted(folder.glob("model*.safetensors")):
        with safe_open(file, framework="pt") as reader:
            yield from ((name, (file, name)) for name in reader.keys())  # noqa: SIM118 - it is no dictionary


def _tied(config: dict[str, Any]) -> bool:
    return bool(config.get("tie_word_embeddings", config.get("text_config", {}).get("tie_word_embeddings")))
