"""A folder of records of any shape: those that can be read, and a line on each that cannot."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError, short
from pkv_interp.paths import expanded

#: Bytes above which a file is no table of results; those that were published have some kilobytes.
LARGEST = 64 * 2**20


@dataclass(frozen=True)
class Record:
    """One record.

    Attributes:
        name: of its file, relative to the folder, with forward slashes.
        document: what stands in it, a mapping or a list of mappings.
    """

    name: str
    document: Any

    @property
    def model(self) -> str | None:
        """The model that the record names, None where it names none."""
        first = self.document[0] if isinstance(self.document, list) else self.document
        for place in (first, first.get("summary"), first.get("agg")):
            if isinstance(place, dict) and isinstance(place.get("model"), str):
                return place["model"]
        return None


@dataclass(frozen=True)
class Unread:
    """A file that could not be read as a record, and why."""

    name: str
    cause: str


def json_files(folder: str | Path) -> list[Path]:
    """Every file under a folder whose name ends in ``.json``, sorted by its place in the folder.

    Raises:
        PkvError: there is no such folder, it cannot be looked into, or there is no such file in it.
    """
    place = expanded(folder)
    if not place.is_dir():
        what = "is a file" if place.exists() else "is not there"
        raise PkvError(f"the folder {place} {what}", "give the folder that holds the records")
    try:
        found = sorted(_under(place), key=lambda path: path.relative_to(place).as_posix())
    except OSError as error:
        cause = f"the folder {error.filename} cannot be read: {error.strerror}"
        raise PkvError(cause, "check who may read it") from error
    if not found:
        raise PkvError(f"{place} holds no .json file", "give the folder that holds the records")
    return found


def _under(place: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    # A folder that cannot be looked into would otherwise be passed over in silence.
    for folder, _, files in os.walk(place, onerror=refuse):
        yield from (Path(folder, name) for name in files if name.endswith(".json"))


def read_folder(folder: str | Path) -> tuple[list[Record], list[Unread]]:
    """All records of a folder, and the files that are none.

    Raises:
        PkvError: there is no such folder, there is no JSON file in it, or none of them can be read.
    """
    place = expanded(folder)
    records: list[Record] = []
    unread: list[Unread] = []
    for path in json_files(place):
        found = _read(path, path.relative_to(place).as_posix())
        records.append(found) if isinstance(found, Record) else unread.append(found)
    if not records:
        first = unread[0]
        cause = f"none of {len(unread)} .json files in {place} is a record; {first.name}: {first.cause}"
        raise PkvError(cause, "give the folder that holds the records")
    return records, unread


def _read(path: Path, name: str) -> Record | Unread:
    try:
        size = path.stat().st_size
        if size > LARGEST:
            return Unread(name, f"{size // 2**20} MiB is more than a table of results has")
        # Numbers that are not finite have no JSON form; nothing follows from them, so they count as absent.
        document = json.loads(path.read_text("utf-8-sig"), parse_constant=lambda _: None)
    except OSError as error:
        return Unread(name, f"cannot be opened: {error.strerror}")
    except json.JSONDecodeError as error:
        return Unread(name, f"no JSON: {error.msg}, line {error.lineno} column {error.colno}")
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        return Unread(name, f"no JSON: {short(str(error) or type(error).__name__)}")
    if isinstance(document, list) and document and all(isinstance(one, dict) for one in document):
        return Record(name, document)
    if isinstance(document, dict) and document:
        return Record(name, document)
    return Unread(name, f"unknown shape: {_shape(document)}, not a mapping or a list of mappings")


def _shape(document: Any) -> str:
    if isinstance(document, dict | list) and not document:
        return f"an empty {'mapping' if isinstance(document, dict) else 'list'}"
    if isinstance(document, list):
        return "a list with something else in it than mappings"
    return f"a single {'null' if document is None else type(document).__name__}"
