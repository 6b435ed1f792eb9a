"""The life of one run: started, measured stage by stage, measured, then success or error."""

import errno
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
import torch
from pydantic import ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write, disk_error, move, tensor_bytes
from pkv_interp.records import archive
from pkv_interp.records.archive import Archive, Head, archive_path
from pkv_interp.records.controls import ControlFailure, control, raise_for_controls
from pkv_interp.records.environment import environment
from pkv_interp.records.key import Asked, jsonable
from pkv_interp.records.lock import RunLock
from pkv_interp.records.rules import findings_of
from pkv_interp.records.schema import Control, Keys, Measurements, RunRecord
from pkv_interp.records.stages import StageFolder

log = logging.getLogger(__name__)
M = TypeVar("M")
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


class Interrupted(PkvError):
    """The user stopped the run; what was measured is kept."""

    code = 130


def _one_line(error: BaseException) -> str:
    if isinstance(error, PkvError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted by the user"
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


@dataclass
class Run:
    """One run, made by ``RunStore.open`` and used as a context manager.

    Attributes:
        path: of the record.
        asked: what it was asked for.
        keys: its two identities.
        stages: finished parts, until the run has succeeded.
        finished: the record of a success with both keys, so that there is nothing to do.
        measured: the archive of an earlier sitting whose measurements are whole.
        lock: keeps other processes from working on the same run; let go at the end.
        keep_until_success: an earlier success stays on disk until this repeat has succeeded.
        head: facts, known once all is measured.
        controls: checks with known answers, noted while measuring.
        remarks: what a reader should know that is no number.
    """

    path: Path
    asked: Asked
    keys: Keys
    stages: StageFolder
    finished: RunRecord | None = None
    measured: Measurements | None = None
    keep_until_success: bool = False
    lock: RunLock | None = None
    head: Head | None = None
    controls: list[Control] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    _kept: Path | None = None
    _started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> bool:
        """Whether a success with both keys exists already; then nothing is written."""
        return self.finished is not None

    @property
    def record(self) -> RunRecord:
        """The finished record.

        Raises:
            PkvError: the run has not ended in success.
        """
        if self.finished is None:
            raise PkvError("the run has no record yet", "ask for it after the `with` block has ended")
        return self.finished

    def note(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        """Note a control; `check_controls` says whether all have passed.

        Args:
            name: of the check.
            value: what was measured.
            expected: the known answer.
            tolerance: how far off it may be.
            detail: of what and on how much.

        Raises:
            ControlFailure: at once, where the value is not finite.
        """
        self.controls.append(control(name, value, expected, tolerance, detail))

    def check_controls(self) -> None:
        """Stop here if a control noted so far has failed.

        Raises:
            ControlFailure: names the control, what was measured and what was expected.
        """
        raise_for_controls(self.controls)

    def archive(self, kind: type[M]) -> Archive[M]:
        """The measurements of an earlier sitting.

        Raises:
            PkvError: there are none, or they are damaged.
        """
        if self.measured is None:
            raise PkvError("nothing was measured yet", "measure first")
        found = archive.read(self._archive, kind, self.measured.sha256)
        self.head = found.head
        return found

    def keep(self, head: Head, measured: Any, kind: type[Any]) -> None:
        """Write the measurements; from here on a failure costs no more than the summary.

        Raises:
            PkvError: they have no form on disk, or the disk is full.
        """
        self.head = head
        # While an earlier success stands, its own measurements must stay beside it.
        beside = archive_path(self.path)
        place = self.stages.folder / beside.name if self.keep_until_success else beside
        self.measured = archive.save(place, head, measured, kind)
        self._kept = place

    @property
    def _archive(self) -> Path:
        """Where the measurements of this run are: written just now, or by an earlier sitting."""
        return self._kept or archive_path(self.path)

    def succeed(self, filled: Mapping[str, Any], arrays: Mapping[str, np.ndarray | torch.Tensor]) -> None:
        """Write the record of a success and tidy up.

        Args:
            filled: the record's rows, headline, tables, controls, noise floor and competence.
            arrays: large arrays, for a safetensors file beside the record.

        Raises:
            ControlFailure: a control missed its known answer.
            PkvError: the record would not be valid, or the disk is full.
        """
        raise_for_controls(filled.get("controls", ()))
        beside = self.path.with_suffix(".safetensors")
        record = self._build("success", **filled, arrays=beside.name if arrays else None)
        if arrays:
            tensors = {
                name: value
                if isinstance(value, torch.Tensor)
                else torch.from_numpy(np.ascontiguousarray(value))
                for name, value in arrays.items()
            }
            # Arrays first: a record never names a file that is not there.
            atomic_write(beside, tensor_bytes(tensors))
        if self._kept is not None:
            move(self._kept, archive_path(self.path))
        self._write(record)
        self.finished = record
        self.stages.remove()

    def _build(self, status: str, **filled: Any) -> RunRecord:
        head, asked = self.head, self.asked
        fields = {
            "key": self.keys.measurement,
            "keys": self.keys,
            "weights": asked.weights,
            "experiment": asked.experiment,
            "status": status,
            "config": asked.config,
            "model": {"name": asked.config["model"]["name"]} | dict(head.model if head else {}),
            "environment": head.environment if head else environment(),
            "summary_only": asked.summary_only,
            "measurements": self.measured,
            "seed": asked.seed,
            "started_at": head.started_at if head else self._started_at,
            "seconds": None if status == "started" else self.seconds,
            "controls": head.controls if head else self.controls,
            "noise_floor": head.noise_floor if head else {},
            "remarks": head.remarks if head else self.remarks,
            **filled,
        }
        fields["tables"] = jsonable(fields.get("tables", {}), "a table")
        try:
            return RunRecord.model_validate(fields)
        except ValidationError as problem:
            first = findings_of(problem, fields)[0]
            raise PkvError(
                f"the record of {asked.experiment} is not valid: {first.pointer}: {first.cause}",
                "correct its summary: everything that was measured is kept",
            ) from problem

    @property
    def seconds(self) -> float:
        """Seconds of work so far: of measuring where that is known, else of this sitting."""
        return self.head.seconds if self.head and self.head.seconds else time.monotonic() - self._clock

    def _write(self, record: RunRecord) -> None:
        atomic_write(self.path, (record.model_dump_json(indent=1) + "\n").encode())
        record._path = self.path

    def _fail(self, error: BaseException) -> None:
        if self.keep_until_success:
            log.warning("%s keeps the earlier success; this repeat failed: %s", self.path, _one_line(error))
            return
        try:
            # An error's record holds what led to it; rows of half a run would only be mistaken for results.
            self._write(self._build("error", error=_one_line(error)))
        except PkvError as second:
            # The first error is the one to see; the record on disk still says "started", which is true.
            log.warning("the error could not be recorded: %s", second)

    def __enter__(self) -> Self:
        if not self.done and not self.keep_until_success:
            self._write(self._build("started"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave(error)
        finally:
            if self.lock is not None:
                self.lock.release()

    def _leave(self, error: BaseException | None) -> None:
        if error is None or self.done:
            return
        self._fail(error)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(
                f"{self.asked.experiment} on {self.asked.config['model']['name']} was interrupted",
                "run the same command again to go on from the last finished part",
            ) from error
        if isinstance(error, OSError) and error.errno is not None and error.errno in _DISK:
            raise disk_error(error, Path(error.filename or self.path.parent)) from error
        if self.measured is None or isinstance(error, ControlFailure):
            return
        if self.keep_until_success:
            log.warning("what this repeat measured is kept in %s until the next one begins", self._archive)
        else:
            log.warning(
                "the summary failed, and all measurements are kept in %s; once it is corrected, "
                "`python -m experiments.summarise %s` needs no model",
                self._archive,
                self.path,
            )
