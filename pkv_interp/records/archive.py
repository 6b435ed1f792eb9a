"""The measurements of a run as one file: what a summary reads, and the facts that came with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.records.codec import Encoded, decode, encode
from pkv_interp.records.schema import Control, Environment, Measurements
from pkv_interp.records.stages import pack, sha256, unpack

M = TypeVar("M")
SUFFIX = ".measurements.zip"
_HEAD, _MEASURED = "head", "measured"


@dataclass(frozen=True)
class Head:
    """Facts of a measurement that are no result of one stage.

    Attributes:
        model: the loaded model (``ModelInfo``): name, revision, weight hash, dtype, device.
        controls: checks with known answers, made while measuring.
        noise_floor: in logits or recovery, by name; ``margin`` is that of margins.
        environment: where it was measured.
        remarks: what a reader should know that is no number.
        started_at: in UTC, ISO 8601.
        seconds: of measuring, over all sittings.
    """

    model: dict[str, str | int | float | bool | None]
    controls: tuple[Control, ...]
    noise_floor: dict[str, float]
    environment: Environment
    remarks: tuple[str, ...] = ()
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())
    seconds: float = 0.0


@dataclass(frozen=True)
class Archive(Generic[M]):
    """Measurements as they were read back: facts, and the experiment's own results."""

    head: Head
    measured: M


def archive_path(record: Path) -> Path:
    """Path of a record's measurements, which are beside it."""
    return record.with_name(record.stem + SUFFIX)


def save(path: Path, head: Head, measured: Any, kind: type[Any]) -> Measurements:
    """Write the archive.

    Args:
        path: of the archive.
        head: facts.
        measured: an instance of ``kind``.
        kind: the experiment's class of measurements.

    Raises:
        PkvError: ``measured`` is not of that type or holds a number that is not finite, or the disk is full.
    """
    first = encode(head, Head, "the facts of the run")
    second = encode(measured, kind, "what was measured")
    content = pack(Encoded({_HEAD: first.tree, _MEASURED: second.tree}, second.arrays), path.name)
    atomic_write(path, content)
    return Measurements(file=path.name, sha256=sha256(content), bytes=len(content))


def read(path: Path, kind: type[M], expected: str | None = None) -> Archive[M]:
    """Read an archive back.

    Args:
        path: of the archive.
        kind: the experiment's class of measurements.
        expected: the hash in the record; None where there is no record yet.

    Raises:
        PkvError: it is missing, damaged, not the one that the record names, or not of this type.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PkvError(f"{path} cannot be read: {error.strerror}", "run the experiment again") from error
    if expected is not None and sha256(content) != expected:
        raise PkvError(f"{path} is not what its record was computed from", "bring it back, or measure again")
    found = unpack(content, str(path))
    tree: Mapping[str, Any] = found.tree
    head = decode(Encoded(tree[_HEAD], {}), Head, f"the head of {path.name}")
    return Archive(head, decode(Encoded(tree[_MEASURED], found.arrays), kind, path.name))
