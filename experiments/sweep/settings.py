"""Settings of the command that reports on sweeps."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pkv_interp.run.settings import CommandSettings
from pkv_interp.run.values import Folder, Name, Names, Switch


def _one_or_more(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


#: One name, several with commas between them, or a list.
AnyNumber = Annotated[Names | None, BeforeValidator(_one_or_more)]


class SweepSettings(CommandSettings):
    """Settings of this command; configs/sweep.yaml says what each means."""

    experiment: Name | None = None
    models: AnyNumber = None
    headlines: AnyNumber = None
    output_dir: Folder = Field(default="results/figures")  # pyright: ignore[reportAssignmentType]
    png: Switch = True
    scale: Annotated[float, Field(strict=True, gt=0.0, le=20.0)] = 1.5
