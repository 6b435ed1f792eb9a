"""A folder of somebody's records among the settings."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

from pkv_interp.audit.document import json_files
from pkv_interp.errors import PkvError, short
from pkv_interp.paths import expanded


class RecordFolder(BaseModel):
    """A folder of JSON files, identified by their content and not by where they are.

    Attributes:
        name: of the folder.
        files: how many there are; None until they were looked at.
        sha256: of their names and contents; None until they were looked at.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=255)]
    files: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    _path: Path | None = PrivateAttr(default=None)

    @classmethod
    def at(cls, path: str | Path) -> "RecordFolder":
        """The folder at a path, which nothing is read of yet.

        Raises:
            PkvError: it is no path.
        """
        place = expanded(path)
        name = place.name or place.absolute().name
        made = cls(name=name[:255] or "records")
        made._path = place
        return made

    @property
    def path(self) -> Path:
        """Where the folder is.

        Raises:
            PkvError: only its name and hash are known, from a record.
        """
        if self._path is None:
            raise PkvError(
                f"only name and hash of {short(self.name)} are known here", "name the folder itself"
            )
        return self._path

    def opened(self) -> "RecordFolder":
        """The folder with count and hash of its files; one that a record names has them already.

        Raises:
            PkvError: there is no such folder, or no JSON file in it.
        """
        if self._path is None and self.sha256 is not None:
            return self
        digest = hashlib.sha256()
        files = json_files(self.path)
        for file in files:
            digest.update(f"{file.relative_to(self.path).as_posix()} {_content(file)}\n".encode())
        made = self.model_copy(update={"files": len(files), "sha256": digest.hexdigest()})
        made._path = self._path
        return made


def _content(file: Path) -> str:
    # One that cannot be read is listed by the audit itself, and its name still counts.
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return "cannot be read"


def folder_at(value: Any) -> Any:
    """The folder at a path, or as a record names it.

    Raises:
        ValueError: as pydantic wants it.
    """
    if isinstance(value, str | Path) and str(value).strip():
        try:
            return RecordFolder.at(value)
        except PkvError as error:
            raise ValueError(error.cause) from error
    if isinstance(value, RecordFolder | Mapping) or value is None:
        return value
    raise ValueError("give a path as text; quote it where it is a number")


#: A folder of records, named by its path; None until the user names one.
AnyRecords = Annotated[RecordFolder, BeforeValidator(folder_at)] | None
