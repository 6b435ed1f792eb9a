"""Hashes of weights in memory and of files on disk."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import torch
from torch import nn

_BLOCK = 1 << 22
#: A file that was changed this recently may be changed again without its times showing it.
_SETTLED_SECONDS = 2.0
_KNOWN: dict[tuple[int, ...], str] = {}


def weight_sha256(model: nn.Module) -> str:
    """sha256 over names, dtypes, shapes and bytes of the state dict, in the order of the names.

    Tensors that share memory (tied embeddings) are hashed once, under the first of their names.
    """
    digest = hashlib.sha256()
    seen: set[tuple[int, torch.Size]] = set()
    for name, tensor in sorted(model.state_dict().items()):
        identity = (tensor.data_ptr(), tensor.shape)
        if tensor.numel() and identity in seen:
            continue
        seen.add(identity)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8).cpu()
        digest.update(memoryview(raw.numpy()))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's content, links followed.

    A hash is taken over in the same process where size, inode and both times are the same. The time of the
    last change of the inode cannot be set by hand, and a file that was changed within the last seconds is
    always read again, so that a rewrite of the same size within the clock's resolution is seen.

    Raises:
        OSError: it cannot be read.
    """
    before = path.stat()
    key = _key_of(before)
    # Elsewhere the time of the inode is that of the file's creation.
    settled = os.name == "posix" and time.time() - before.st_ctime > _SETTLED_SECONDS
    if settled and key in _KNOWN:
        return _KNOWN[key]
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    found = digest.hexdigest()
    if settled and _key_of(path.stat()) == key:
        _KNOWN[key] = found
    return found


def _key_of(stat: os.stat_result) -> tuple[int, ...]:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
