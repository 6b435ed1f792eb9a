"""The files of LoCoMo as users have them: where they come from, and what tells one copy from another."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from experiments.locomo.reading import Talk, talks_of
from pkv_interp.errors import PkvError, short
from pkv_interp.paths import expanded
from pkv_interp.plain import LONGEST_LIST
from pkv_interp.tasks.strict_json import Unreadable, strict_json

#: What to do about data that is missing or broken; one line, as every hint.
WHERE = (
    "set path=FILE to locomo10.json, or path=DIR to a folder with one JSON a conversation; both come from "
    "the authors' repository (snap-research/locomo on GitHub, CC BY-NC 4.0)"
)
_LARGEST = 100_000_000


class TalkFiles(BaseModel):
    """Conversations in one file or in a folder, identified by what they hold and not by where they are.

    Attributes:
        name: of the file or folder.
        files: how many were read; None until they were.
        sha256: of the contents of all, whatever the files are called; None until they were read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=255)]
    files: Annotated[int, Field(ge=1, le=LONGEST_LIST)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    _path: Path | None = PrivateAttr(default=None)
    _talks: tuple[Talk, ...] = PrivateAttr(default=())

    @classmethod
    def at(cls, path: str | Path) -> "TalkFiles":
        """The file or folder at a path, which nothing is read of yet.

        Raises:
            PkvError: it is no path.
        """
        place = expanded(path)
        made = cls(name=(place.name or place.absolute().name)[:255] or "conversations")
        made._path = place
        return made

    def opened(self) -> "TalkFiles":
        """The same with all conversations read and checked; one that a record names has its hash already.

        Raises:
            PkvError: there is nothing, or what is there is no such file.
        """
        if self._path is None:
            return self
        contents = [(file, _content(file)) for file in _files(self._path)]
        talks = tuple(talk for file, content in contents for talk in _read(file, content))
        ids = [talk.id for talk in talks]
        if len(set(ids)) < len(ids):
            twice = next(one for one in ids if ids.count(one) > 1)
            raise PkvError(f"{self.name}: conversation '{twice}' stands twice", WHERE)
        digest = hashlib.sha256()
        for _, content in contents:
            digest.update(hashlib.sha256(content).digest())
        made = self.model_copy(update={"files": len(contents), "sha256": digest.hexdigest()})
        made._path, made._talks = self._path, talks
        return made

    @property
    def talks(self) -> tuple[Talk, ...]:
        """The conversations, of files that were opened.

        Raises:
            PkvError: only name and hash are known, from a record.
        """
        if not self._talks:
            raise PkvError(f"only name and hash of {short(self.name)} are known here", WHERE)
        return self._talks


def _read(file: Path, content: bytes) -> list[Talk]:
    try:
        return talks_of(strict_json(content.decode()), file.stem)
    except UnicodeDecodeError as error:
        raise PkvError(f"{file.name} is no text in UTF-8", WHERE) from error
    except Unreadable as error:
        raise PkvError(f"{file.name}: {error.reason}, line {error.line}", WHERE) from error
    except ValueError as error:
        raise PkvError(f"{file.name}: {error}", WHERE) from error


def _files(place: Path) -> list[Path]:
    """The file, or the JSON files of the folder, in the order of their names with numbers as numbers."""
    if place.is_dir():
        found = [file for file in place.glob("*.json") if file.is_file()]
        if not found:
            raise PkvError(f"{place} has no JSON file in it", WHERE)
        return sorted(found, key=lambda file: (len(file.stem) if file.stem.isdigit() else 99, file.stem))
    if not place.is_file():
        raise PkvError(f"there is no file or folder {place}", WHERE)
    return [place]


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LARGEST:
            raise PkvError(f"{file.name} has {file.stat().st_size:,} bytes, which no such file has", WHERE)
        return file.read_bytes()
    except OSError as error:
        raise PkvError(f"{file} cannot be read: {error.strerror}", WHERE) from error


def talks_at(value: Any) -> Any:
    """The files at a path, or as a record names them.

    Raises:
        ValueError: as pydantic wants it.
    """
    if isinstance(value, str | Path) and str(value).strip():
        try:
            return TalkFiles.at(value)
        except PkvError as error:
            raise ValueError(error.cause) from error
    if isinstance(value, TalkFiles | Mapping) or value is None:
        return value
    raise ValueError("give a path as text; quote it where it is a number")


#: Conversations, named by their path; None until the user names them.
Talks = Annotated[TalkFiles, BeforeValidator(talks_at)] | None
