"""A user's own file among the settings."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PrivateAttr

from pkv_interp.errors import PkvError
from pkv_interp.paths import expanded


class DataFile(BaseModel):
    """A user's file, identified by its content and not by its path.

    Attributes:
        name: of the file.
        sha256: of its content.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    sha256: str
    _path: Path | None = PrivateAttr(default=None)

    @classmethod
    def open(cls, path: str | Path) -> "DataFile":
        """The file at a path.

        Raises:
            PkvError: it cannot be read.
        """
        place = expanded(path)
        if place.exists() and not place.is_file():
            raise PkvError(f"{place} is no file", "name a file that is there")
        try:
            content = place.read_bytes()
        except OSError as error:
            raise PkvError(
                f"{place} cannot be read: {error.strerror}", "name a file that is there"
            ) from error
        made = cls(name=place.name, sha256=hashlib.sha256(content).hexdigest())
        made._path = place
        return made

    @property
    def is_here(self) -> bool:
        """Whether the file itself is at hand; of one that a record names, only name and hash are."""
        return self._path is not None

    @property
    def path(self) -> Path:
        """Where the file is.

        Raises:
            PkvError: only its name and hash are known, from a record.
        """
        if self._path is None:
            raise PkvError(f"only name and hash of {self.name} are known here", "name the file itself")
        return self._path


def opened(value: Any) -> Any:
    """The file at a path; anything else as it is."""
    return DataFile.open(value) if isinstance(value, str | Path) else value


#: A user's own file; None stands for the packaged one, or for none.
OwnFile = Annotated[DataFile, BeforeValidator(opened)] | None
