"""The life of one run: started, its chunks, then success or error."""

import errno
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from pydantic import ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.records.chunks import ChunkFolder
from pkv_interp.records.environment import environment
from pkv_interp.records.key import jsonable
from pkv_interp.records.rules import findings_of
from pkv_interp.records.schema import Competence, Control, Row, RunRecord
from pkv_interp.records.writer import atomic_write, disk_error, tensor_bytes
from pkv_interp.stats import Estimate

log = logging.getLogger(__name__)
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT})


class ControlFailure(PkvError):
    """A control missed its known answer, so nothing else that the run measured can be trusted."""


class Interrupted(PkvError):
    """The user stopped the run; finished chunks are kept."""


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
        done: a success with the same key exists already; ``record`` is that one and nothing is written.
        rows, headline, tables, arrays, noise_floor, competence: filled in by the experiment.
    """

    path: Path
    key: str
    experiment: str
    model: dict[str, Any]
    config: dict[str, Any]
    seed: int
    chunks: ChunkFolder
    finished: RunRecord | None = None
    keep_until_success: bool = False
    rows: list[Row | Mapping[str, Any]] = field(default_factory=list)
    headline: dict[str, Estimate] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    arrays: dict[str, torch.Tensor | np.ndarray] = field(default_factory=dict)
    noise_floor: dict[str, float] = field(default_factory=dict)
    competence: Competence | None = None
    controls: list[Control] = field(default_factory=list)
    _started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    @property
    def done(self) -> bool:
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

    def set_model(self, info: Mapping[str, Any]) -> None:
        """Facts of the loaded model (``ModelInfo.model_dump()``): revision, weight_sha256, device, ..."""
        self.model = {"name": self.model["name"]} | jsonable(info, "the model information")

    def control(
        self, name: str, value: float, expected: float, tolerance: float, detail: str = ""
    ) -> Control:
        """Note a control; a failed one ends the run as an error when the ``with`` block ends.

        Raises:
            ControlFailure: at once, where the value is not finite.
        """
        if not np.isfinite(value):
            raise ControlFailure(
                f"control {name!r} measured {value}, expected {expected}",
                "look for an overflow in this dtype",
            )
        control = Control(
            name=name,
            value=float(value),
            expected=expected,
            tolerance=tolerance,
            passed=bool(abs(value - expected) <= tolerance),
            detail=detail,
        )
        self.controls.append(control)
        return control

    def check_controls(self) -> None:
        """Stop here if a control noted so far has failed.

        Raises:
            ControlFailure: names the control, what was measured and what was expected.
        """
        for control in self.controls:
            if not control.passed:
                detail = f" ({control.detail})" if control.detail else ""
                raise ControlFailure(
                    f"control {control.name!r} measured {control.value:.6g}, expected {control.expected:.6g} "
                    f"within {control.tolerance:.3g}{detail}",
                    "the engine does not do what it says on this model: try float32 and eager attention",
                )

    def chunk(self, name: str, compute: Callable[[], Any]) -> Any:
        """What ``compute`` returns, or what it returned in an earlier sitting.

        Numbers, text, lists, mappings with text keys, pydantic models (they come back as mappings), arrays,
        tensors (they come back on the CPU). A tuple comes back as a list.

        Raises:
            PkvError: something else was returned, or the disk is full.
        """
        found = self.chunks.read(name)
        if found is not None:
            log.info("chunk %r was finished earlier", name)
            self._seconds_before += found.seconds
            return found.data
        begin = time.monotonic()
        data = compute()
        return self.chunks.save(name, data, time.monotonic() - begin).data

    def _build(self, status: str, error: str | None = None) -> RunRecord:
        seconds = None if status == "started" else time.monotonic() - self._clock + self._seconds_before
        # An error's record holds what led to it; rows of half a run would only be mistaken for results.
        whole = status == "success"
        fields = {
            "key": self.key,
            "experiment": self.experiment,
            "status": status,
            "error": error,
            "config": self.config,
            "model": self.model,
            "environment": environment(
                device=self.model.get("device"),
                dtype=self.model.get("dtype"),
                attention=self.model.get("attention"),
            ),
            "seed": self.seed,
            "started_at": self._started_at,
            "seconds": seconds,
            "controls": self.controls,
            "noise_floor": self.noise_floor,
            "competence": self.competence,
            "rows": self.rows if whole else [],
            "headline": self.headline if whole else {},
            "tables": jsonable(self.tables, "a table") if whole else {},
            "arrays": self.path.with_suffix(".safetensors").name if whole and self.arrays else None,
        }
        try:
            return RunRecord.model_validate(fields)
        except ValidationError as problem:
            first = findings_of(problem, fields)[0]
            raise PkvError(
                f"the record of {self.experiment} is not valid: {first.pointer}: {first.cause}",
                "mend the experiment and run it again: finished chunks are kept",
            ) from problem

    def _write(self, record: RunRecord) -> None:
        atomic_write(self.path, (record.model_dump_json(indent=1) + "\n").encode())
        record._path = self.path

    def _succeed(self) -> None:
        self.check_controls()
        record = self._build("success")
        if self.arrays:
            tensors = {
                name: value
                if isinstance(value, torch.Tensor)
                else torch.from_numpy(np.ascontiguousarray(value))
                for name, value in self.arrays.items()
            }
            # Arrays first: a record never names a file that is not there.
            atomic_write(self.path.with_suffix(".safetensors"), tensor_bytes(tensors))
        self._write(record)
        self.finished = record
        self.chunks.remove()

    def _fail(self, error: BaseException) -> None:
        if self.keep_until_success:
            log.warning("%s keeps the earlier success; this repeat failed: %s", self.path, _one_line(error))
            return
        try:
            self._write(self._build("error", _one_line(error)))
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
        if self.done:
            return
        if error is None:
            try:
                self._succeed()
            except BaseException as late:
                if not self.done:
                    self._fail(late)
                if isinstance(late, KeyboardInterrupt):
                    raise self._interrupted() from late
                raise
            return
        self._fail(error)
        if isinstance(error, KeyboardInterrupt):
            raise self._interrupted() from error
        if isinstance(error, OSError) and error.errno is not None and error.errno in _DISK:
            raise disk_error(error, Path(error.filename or self.path.parent)) from error

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"{self.experiment} on {self.model['name']} was interrupted",
            "run the same command again to go on from the last finished chunk",
        )
