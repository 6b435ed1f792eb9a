"""Finished parts of a run, each on disk as soon as it is there, and the archive that they end in.

Both forms carry a hash of their content, so that a file which a crash left half written, or which was edited,
is not taken for a measurement.
"""

import hashlib
import io
import json
import logging
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.records.codec import Encoded, decode, encode

log = logging.getLogger(__name__)
T = TypeVar("T")
_TREE, _ARRAYS = "tree.json", "arrays.safetensors"
_PART, _MODEL = ".part.zip", "model.json"
#: Every member of an archive gets this time, so that the same measurements give the same bytes.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _json(tree: Any, where: str) -> str:
    try:
        return json.dumps(tree, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise PkvError(f"{where} holds a number that is not finite", "look for an overflow") from error


def pack(encoded: Encoded, where: str) -> bytes:
    """One compressed file with the tree and the arrays; the same content gives the same bytes.

    Raises:
        PkvError: a number outside the arrays is not finite.
    """
    out = io.BytesIO()
    members = {_TREE: _json(encoded.tree, where).encode(), _ARRAYS: safetensors.numpy.save(encoded.arrays)}
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, content)
    return out.getvalue()


def unpack(content: bytes, where: str) -> Encoded:
    """Inverse of `pack`.

    Raises:
        PkvError: the file is damaged.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            tree = json.loads(file.read(_TREE))
            return Encoded(tree, _writable(safetensors.numpy.load(file.read(_ARRAYS))))
    except (zipfile.BadZipFile, KeyError, ValueError, SafetensorError) as error:
        raise PkvError(f"{where} is damaged: {error}", "bring it back, or measure again") from error


def _writable(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.array(array) for name, array in arrays.items()}


@dataclass(frozen=True)
class Finished:
    """A finished part and the seconds that it took."""

    value: Any
    seconds: float


@dataclass(frozen=True)
class StageFolder:
    """The finished parts of one run, in ``folder``; gone once the run has succeeded."""

    folder: Path

    def _path(self, name: str) -> Path:
        readable = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:60].strip(".-")
        return self.folder / f"{readable}-{sha256(name.encode())[:12]}{_PART}"

    def once(
        self, name: str, compute: Callable[[], T], kind: type[T], clock: Callable[[], float]
    ) -> Finished:
        """What ``compute`` returns, or what it returned in an earlier sitting.

        Args:
            name: of the part, unique in the run.
            compute: makes it.
            kind: the type of what it returns.
            clock: seconds, for the time that it takes.

        Raises:
            PkvError: the value is not of that type, or the disk is full.
        """
        found = self.read(name, kind)
        if found is not None:
            log.info("%s was measured earlier", name)
            return found
        begin = clock()
        value = compute()
        seconds = clock() - begin
        encoded = encode(value, kind, name)
        head = {"name": name, "seconds": seconds, "tree": encoded.tree}
        body = pack(Encoded(head, encoded.arrays), name)
        atomic_write(self._path(name), sha256(body).encode() + body)
        # As a later sitting would read it, so that both ways give the same types.
        return Finished(decode(encoded, kind, name), seconds)

    def read(self, name: str, kind: type[T]) -> Finished | None:
        """The finished part, or None where there is none; a damaged one is None as well, with a warning."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            content = path.read_bytes()
            if sha256(content[64:]).encode() != content[:64]:
                raise PkvError(f"{path} does not match its hash", "it is measured again")
            held = unpack(content[64:], str(path))
            if held.tree["name"] != name:
                raise PkvError(f"{path} is another part", "it is measured again")
            value = decode(Encoded(held.tree["tree"], held.arrays), kind, name)
            return Finished(value, float(held.tree["seconds"]))
        except (PkvError, OSError, KeyError, TypeError) as error:
            log.warning("%s in %s cannot be used and is measured again (%s)", name, path, error)
            return None

    def claim(self, model: Mapping[str, str]) -> None:
        """Say which model the parts are measured with; the folder keeps it with them.

        Args:
            model: what it is, each thing with a name to be used in a refusal.

        Raises:
            PkvError: finished parts are of another model, or the disk is full.
        """
        place = self.folder / _MODEL
        try:
            earlier = json.loads(place.read_text("utf-8"))
        except (OSError, ValueError):
            earlier = None
        if earlier == dict(model):
            return
        if isinstance(earlier, dict) and any(self.folder.glob(f"*{_PART}")):
            changed = next((name for name in model if earlier.get(name) != model[name]), "model")
            raise PkvError(
                f"finished parts of this run were measured with another {changed}",
                "bring it back to go on, or set resume=false to begin anew",
            )
        atomic_write(place, json.dumps(dict(model)).encode())

    def remove(self) -> None:
        """Delete all parts of the run, and the parent folder when it was the last run in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # it holds parts of another run, or another process was faster
            self.folder.parent.rmdir()
