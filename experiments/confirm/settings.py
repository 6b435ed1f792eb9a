"""Settings of the confirmatory run: two files. All sizes are in one of them."""

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE
from pkv_interp.run.data_file import DataFile, OwnFile, opened
from pkv_interp.run.preregistered import NamedModel, Sizes
from pkv_interp.run.preregistration import Preregistration
from pkv_interp.run.preregistration_file import load
from pkv_interp.run.settings import ExperimentSettings

#: What a run is judged by where no other file is named.
PREREGISTRATION = CATALOGUE.parent / "preregistration.yaml"


def _opened(value: Any) -> Any:
    try:
        return opened(PREREGISTRATION if value is None else value)
    except OSError as error:  # a name longer than a file system takes
        raise ValueError(f"it cannot be looked for: {error.strerror}") from error


class ConfirmSettings(ExperimentSettings):
    """Settings of this experiment; configs/confirm.yaml says what each means."""

    scenarios: OwnFile = None
    preregistration: Annotated[DataFile, BeforeValidator(_opened)] = None  # pyright: ignore[reportAssignmentType]

    @model_validator(mode="before")
    @classmethod
    def _sizes_are_written_down(cls, values: Any) -> Any:
        for key in values if isinstance(values, dict) else ():
            if key in Sizes.model_fields or key in ("bootstrap_draws", "competence_threshold", "layout"):
                raise PkvError(f"'{key}' is preregistered", "leave it out: the file alone says it")
        return values

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if self.preregistration.is_here:
            load(self.preregistration.path)
        return self

    @property
    def plan(self) -> Preregistration:
        """What was written down.

        Raises:
            PkvError: the file is not at hand, as of a record, or is wrong.
        """
        return load(self.preregistration.path)

    @property
    def named(self) -> NamedModel:
        """What was written down of the model.

        Raises:
            PkvError: see `plan`, or the model is not named.
        """
        return self.plan.model(self.model.name)
