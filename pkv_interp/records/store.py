"""Where runs live on disk."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pkv_interp.errors import PkvError
from pkv_interp.files import remove_parts
from pkv_interp.records.archive import archive_path
from pkv_interp.records.find import PARTIAL
from pkv_interp.records.key import Asked
from pkv_interp.records.load import read
from pkv_interp.records.lock import RunLock
from pkv_interp.records.run import Run
from pkv_interp.records.schema import Keys, Measurements, RunRecord
from pkv_interp.records.stages import StageFolder, sha256


def file_name(model_name: str, key: str) -> str:
    """Stem of a record's file: the model's name, made safe for a file system, and 12 digits of the key."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in model_name)
    return f"{safe.strip('.') or 'model'}-{key[:12]}"


class RunStore:
    """Records under ``results_dir``: ``<experiment>/<model>-<12 digits of the measurement key>.json``.

    Measurements and arrays lie beside them, parts of unfinished runs in ``.partial/<key>/``. One process at a
    time works on a key, a second one is refused; different keys (models of a multirun) do not touch one
    another.
    """

    def __init__(self, results_dir: str | Path) -> None:
        self.results_dir = Path(results_dir)

    def open(self, asked: Asked, keys: Keys, *, resume: bool = True) -> Run:
        """A run to be used as a context manager; entering it writes a record with status "started".

        Args:
            asked: what to run.
            keys: its identities.
            resume: use what was measured before, and skip the run where a success with both keys exists
                (``run.done``). Without it all is measured again, and an earlier success stays on disk until
                the repeat has succeeded.

        Raises:
            PkvError: an experiment name that is no file name, an existing record of this run that is
                damaged, or another process that works on this run.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", asked.experiment):
            raise PkvError(f"{asked.experiment!r} is no experiment name", "use letters, digits, _ and - only")
        name = file_name(str(asked.config["model"]["name"]), keys.measurement)
        path = self.results_dir / asked.experiment / f"{name}.json"
        stages = StageFolder(self.results_dir / PARTIAL / keys.measurement)
        earlier = _earlier(path, keys)
        if resume and earlier is not None and earlier.is_finished(keys):
            self._tidy(path, keys, stages)
            return Run(path=path, asked=asked, keys=keys, stages=stages, finished=earlier.record)
        lock = RunLock.take(self.results_dir / PARTIAL, keys.measurement)
        # Another process may have finished the run since we looked.
        earlier = _earlier(path, keys)
        if not resume:
            stages.remove()
        _remove_parts(path)
        return Run(
            path=path,
            asked=asked,
            keys=keys,
            stages=stages,
            finished=earlier.record if resume and earlier and earlier.is_finished(keys) else None,
            measured=_measured(path) if resume else None,
            keep_until_success=earlier is not None and earlier.success,
            lock=lock,
        )

    def _tidy(self, path: Path, keys: Keys, stages: StageFolder) -> None:
        """Remove what a killed process left of a finished run, unless another one works on it just now."""
        with suppress(PkvError):
            lock = RunLock.take(self.results_dir / PARTIAL, keys.measurement)
            if lock is not None:
                _remove_parts(path)
                stages.remove()
                lock.release()


def _remove_parts(path: Path) -> None:
    for written in (path, path.with_suffix(".safetensors"), archive_path(path)):
        remove_parts(written)


@dataclass(frozen=True)
class _Earlier:
    """The record that a run finds in its place, and whether it is a success with everything beside it."""

    record: RunRecord
    success: bool

    def is_finished(self, keys: Keys) -> bool:
        """Whether nothing is left to do."""
        return self.success and self.record.keys == keys


def _earlier(path: Path, keys: Keys) -> _Earlier | None:
    try:
        if not path.exists():
            return None
    except OSError as error:
        raise PkvError(f"{path} cannot be read: {error.strerror}", "choose another results_dir") from error
    record = read(path)
    if record.key != keys.measurement:
        raise PkvError(f"{path} is the record of another run", "move it away and run again")
    return _Earlier(record, record.status == "success" and _arrays_are_there(record, path))


def _arrays_are_there(record: RunRecord, path: Path) -> bool:
    return record.arrays is None or path.with_name(record.arrays).is_file()


def _measured(path: Path) -> Measurements | None:
    """The archive beside a record: its name holds the measurement key, so it is this run's."""
    place = archive_path(path)
    if not place.is_file():
        return None
    content = place.read_bytes()
    return Measurements(file=place.name, sha256=sha256(content), bytes=len(content))
