"""Files that are either whole or absent."""

import errno
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import safetensors.torch
import torch

from pkv_interp.errors import PkvError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def disk_error(error: OSError, path: Path) -> PkvError:
    """One clear line about a file that could not be written."""
    if error.errno in _FULL:
        hint = "free some space and run the same command again: finished parts are kept"
    else:
        hint = "check that the folder exists and is writable"
    return PkvError(f"cannot write {path}: {error.strerror or error}", hint)


def _sync_folder(folder: Path) -> None:
    # Without this a rename may be lost on power failure. Some file systems cannot do it.
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` beside ``path``, flush it to disk, then rename; an older file stays until the rename.

    Raises:
        PkvError: the disk is full, or the folder cannot be written to.
    """
    # Machines that share the folder may have processes of one number, containers often do.
    part = path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise disk_error(error, path) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def move(source: Path, target: Path) -> None:
    """Put a file in the place of another, which stays until then.

    Raises:
        PkvError: the folder cannot be written to.
    """
    try:
        os.replace(source, target)
    except OSError as error:
        raise disk_error(error, target) from error
    _sync_folder(target.parent)


def tensor_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Safetensors form of ``tensors``, each in memory of its own as the format requires."""
    return safetensors.torch.save(
        {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    )


def remove_parts(path: Path) -> None:
    """Delete what a killed process left of an unfinished write to ``path``."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        # One that cannot be removed is in nobody's way: it is never read.
        with suppress(OSError):
            part.unlink(missing_ok=True)
