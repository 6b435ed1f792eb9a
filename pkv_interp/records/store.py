"""Where runs live on disk."""

import re
from pathlib import Path

from pkv_interp.errors import PkvError
from pkv_interp.files import remove_parts
from pkv_interp.records.archive import archive_path
from pkv_interp.records.key import Asked
from pkv_interp.records.load import PARTIAL, read
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
    time may work on a key; different keys (models of a multirun) do not touch one another.
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
            PkvError: an experiment name that is no file name, or an existing record of this run that is
                damaged.
        """
        if not re.fullmatch(r"[A-Za-z0-9_-]+", asked.experiment):
            raise PkvError(f"{asked.experiment!r} is no experiment name", "use letters, digits, _ and - only")
        name = file_name(str(asked.config["model"]["name"]), keys.measurement)
        path = self.results_dir / asked.experiment / f"{name}.json"
        stages = StageFolder(self.results_dir / PARTIAL / keys.measurement)
        earlier = read(path) if path.exists() else None
        if earlier is not None and earlier.key != keys.measurement:
            raise PkvError(f"{path} is the record of another run", "move it away and run again")
        success = earlier is not None and earlier.status == "success" and _arrays_are_there(earlier, path)
        if not resume:
            stages.remove()
        for written in (path, path.with_suffix(".safetensors"), archive_path(path)):
            remove_parts(written)
        same = success and earlier is not None and earlier.keys == keys
        return Run(
            path=path,
            asked=asked,
            keys=keys,
            stages=stages,
            finished=earlier if same and resume else None,
            measured=_measured(path) if resume else None,
            keep_until_success=success,
        )


def _arrays_are_there(record: RunRecord, path: Path) -> bool:
    return record.arrays is None or path.with_name(record.arrays).is_file()


def _measured(path: Path) -> Measurements | None:
    """The archive beside a record: its name holds the measurement key, so it is this run's."""
    place = archive_path(path)
    if not place.is_file():
        return None
    content = place.read_bytes()
    return Measurements(file=place.name, sha256=sha256(content), bytes=len(content))
