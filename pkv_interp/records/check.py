"""Validation of every record under a folder."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, deserialize

from pkv_interp.records.archive import archive_path
from pkv_interp.records.code import Code
from pkv_interp.records.find import record_files
from pkv_interp.records.key import Asked
from pkv_interp.records.load import parse
from pkv_interp.records.rules import Finding
from pkv_interp.records.schema import Keys, RunRecord
from pkv_interp.records.stages import sha256
from pkv_interp.records.stale import Staleness, staleness


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the file, the place in it (JSON pointer, or line and column), the cause."""

    file: Path
    place: str
    cause: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {' '.join(self.cause.split())}"


def _around(path: Path, record: RunRecord) -> list[Finding]:
    found = []
    if path.parent.name != record.experiment:
        found.append(Finding("/experiment", f"{record.experiment!r}, but the folder is {path.parent.name!r}"))
    if not path.stem.endswith(record.key[:12]):
        found.append(Finding("/key", f"{record.key[:12]}..., but the file is named {path.stem!r}"))
    if not isinstance(record.config.get("model"), dict):
        found.append(Finding("/config/model", "the model that was asked for is not there"))
    # A misplaced record has its own line already, and would be reported twice.
    elif not found and record.keys is not None and record.keys != _keys_again(record, record.keys):
        found.append(Finding("/key", "not the key of this configuration, seed and code: one was edited"))
    found += _archive(path, record)
    if record.arrays is None:
        return found
    beside = path.with_name(record.arrays)
    if Path(record.arrays).name != record.arrays or not beside.is_file():
        return [*found, Finding("/arrays", f"there is no file {record.arrays!r} beside the record")]
    try:
        # By content: the library cannot open every path that a file system allows.
        deserialize(beside.read_bytes())
    except (OSError, SafetensorError) as error:
        found.append(Finding("/arrays", f"{record.arrays!r} is damaged: {error}"))
    return found


def _keys_again(record: RunRecord, keys: Keys) -> Keys:
    asked = Asked(
        record.experiment, record.config, str(record.weights), record.seed, tuple(record.summary_only)
    )
    return asked.keys(
        Code(keys.measuring_roots, keys.measuring_code), Code(keys.summary_roots, keys.summary_code)
    )


def _archive(path: Path, record: RunRecord) -> list[Finding]:
    """Measurements that are there must be the record's; large ones may have stayed where they were made."""
    place = archive_path(path)
    if record.measurements is None or not place.is_file():
        return []
    if sha256(place.read_bytes()) == record.measurements.sha256:
        return []
    return [Finding("/measurements", f"{place.name} is not what this record was computed from")]


def check(results: str | Path) -> tuple[int, list[Problem]]:
    """Number of records looked at, and everything that is wrong with them.

    Raises:
        PkvError: there is no such folder.
    """
    problems: list[Problem] = []
    files = record_files(results)
    for path in files:
        found = parse(path)
        findings = _around(path, found) if isinstance(found, RunRecord) else found
        problems += [Problem(path, finding.pointer, finding.cause) for finding in findings]
    return len(files), problems


def stale_records(results: str | Path) -> list[tuple[Path, Staleness]]:
    """Valid successes that the present code and weights would not make again.

    Raises:
        PkvError: there is no such folder.
    """
    out = []
    for path in record_files(results):
        found = parse(path)
        reason = staleness(found) if isinstance(found, RunRecord) and found.status == "success" else None
        if reason is not None:
            out.append((path, reason))
    return out
