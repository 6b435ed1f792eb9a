"""Which files under a folder are records, and which of them are meant."""

import logging
import os
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from pkv_interp.errors import PkvError, short, suggestion
from pkv_interp.paths import expanded
from pkv_interp.records.schema import RunRecord

log = logging.getLogger(__name__)
PARTIAL = ".partial"
#: Folder under ``results`` of one's own runs (``make circuit``), which no document of the project is about.
LOCAL = "local"
_STATUSES: tuple[str, ...] = get_args(RunRecord.model_fields["status"].annotation)


def record_files(results: str | Path, *, without: str | None = None) -> list[Path]:
    """Every record under ``results``, sorted; unfinished parts are not records, and links are followed.

    Args:
        results: a folder, or one record.
        without: name of a folder right under it whose records are left out.

    Raises:
        PkvError: there is no such folder.
    """
    results = expanded(results)
    if results.is_file():
        return [results]
    if not results.is_dir():
        raise PkvError(f"there is no folder {results}", "name the results folder of a run")
    found = sorted(path.relative_to(results) for path in _under(results))
    return [results / path for path in found if path.parts[0] != without]


def _under(results: Path) -> Iterator[Path]:
    seen: set[tuple[int, int]] = set()
    for folder, inner, files in os.walk(results, followlinks=True):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:  # a link to a folder that has been read, or to one above it
            inner.clear()
            continue
        seen.add((about.st_dev, about.st_ino))
        # Real folders first, so that a record is known by its own place and not by a link to it.
        inner[:] = sorted(
            (name for name in inner if name != PARTIAL),
            key=lambda name: (os.path.islink(os.path.join(folder, name)), name),
        )
        yield from (Path(folder, name) for name in files if name.endswith(".json"))


def wanted_statuses(status: str | Iterable[str]) -> frozenset[str]:
    """One status or several.

    Raises:
        PkvError: there is no such status.
    """
    wanted = [status] if isinstance(status, str) else list(status)
    for one in wanted:
        if one not in _STATUSES:
            raise PkvError(f"there is no status {short(one)}", suggestion(str(one), _STATUSES))
    return frozenset(wanted)


def check_experiment(experiment: object, there_are: Collection[str]) -> None:
    """Refuse an experiment that is most likely misspelt, and warn of one of which there is no record.

    Raises:
        PkvError: its name is no text, or close to one that is there.
    """
    if experiment is None:
        return
    if not isinstance(experiment, str):
        raise PkvError(f"{short(experiment)} is no experiment's name", "give one name, or leave it out")
    if not there_are or experiment in there_are:
        return
    # An experiment that was never run is no mistake: its table is empty, as any other would be.
    if get_close_matches(experiment, there_are, cutoff=0.75):
        raise PkvError(
            f"there is no record of {short(experiment)}", suggestion(experiment, sorted(there_are))
        )
    log.warning("there is no record of %s; there are %s", short(experiment), ", ".join(sorted(there_are)))
