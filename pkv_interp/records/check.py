"""Validation of every record under a folder."""

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from pkv_interp.records.key import content_key
from pkv_interp.records.load import parse, record_files
from pkv_interp.records.rules import Finding
from pkv_interp.records.schema import RunRecord


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the file, the place in it (JSON pointer, or line and column), the cause."""

    file: Path
    place: str
    cause: str

    def __str__(self) -> str:
        return f"{self.file}: {self.place}: {' '.join(self.cause.split())}"


def file_name(model_name: str, key: str) -> str:
    """Stem of a record's file: the model's name, made safe for a file system, and 12 digits of the key."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in model_name)
    return f"{safe.strip('.') or 'model'}-{key[:12]}"


def _around(path: Path, record: RunRecord) -> list[Finding]:
    found = []
    if path.parent.name != record.experiment:
        found.append(Finding("/experiment", f"{record.experiment!r}, but the folder is {path.parent.name!r}"))
    if not path.stem.endswith(record.key[:12]):
        found.append(Finding("/key", f"{record.key[:12]}..., but the file is named {path.stem!r}"))
    asked = record.config.get("model")
    if not isinstance(asked, dict):
        found.append(Finding("/config/model", "the model that was asked for is not there"))
    # A misplaced record has its own line already, and would only be told twice.
    elif not found and record.key != content_key(
        experiment=record.experiment,
        model=asked,
        config=record.config,
        seed=record.seed,
        code=record.environment.code_version,
    ):
        found.append(Finding("/key", "not the key of this configuration, seed and code: one was edited"))
    if record.arrays is None:
        return found
    beside = path.with_name(record.arrays)
    if Path(record.arrays).name != record.arrays or not beside.is_file():
        return [*found, Finding("/arrays", f"there is no file {record.arrays!r} beside the record")]
    try:
        with safe_open(beside, framework="pt") as file:
            file.keys()
    except (OSError, SafetensorError) as error:
        found.append(Finding("/arrays", f"{record.arrays!r} is damaged: {error}"))
    return found


def check(results: str | Path) -> tuple[int, list[Problem]]:
    """Number of records looked at, and everything that is wrong with them.

    Raises:
        PkvError: there is no such folder.
    """
    problems: list[Problem] = []
    files = record_files(Path(results))
    for path in files:
        found = parse(path)
        findings = _around(path, found) if isinstance(found, RunRecord) else found
        problems += [Problem(path, finding.pointer, finding.cause) for finding in findings]
    return len(files), problems
