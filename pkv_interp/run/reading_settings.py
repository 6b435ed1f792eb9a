"""Settings of everything that reads somebody's records and runs no model."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pkv_interp.errors import PkvError
from pkv_interp.run.record_folder import AnyRecords, RecordFolder
from pkv_interp.run.settings import CommandSettings
from pkv_interp.run.values import Switch


class Subject(BaseModel):
    """What a record is of where no model is run: it stands where other records name their model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=255)]


class ReadingSettings(CommandSettings):
    """Keys that such experiments share; they add their own, each with a default.

    Attributes:
        path: folder of the records; it has no default, since nobody's records are part of the package.
        resume: skip a run that an identical record already holds, continue an interrupted one.
        model: the name of the folder; a record has it, and nobody sets it.
    """

    path: AnyRecords = None
    resume: Switch = True
    model: Subject | None = None

    @property
    def folder(self) -> RecordFolder:
        """The folder of the records.

        Raises:
            PkvError: none was named.
        """
        if self.path is None:
            raise PkvError(
                "no folder of records was named", "set path=DIR, the folder with their .json files"
            )
        return self.path
