"""Settings of the command that draws figures."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from pkv_interp.run.settings import CommandSettings
from pkv_interp.run.values import Folder, Names, Switch


def _one_or_more(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


class FiguresSettings(CommandSettings):
    """Settings of this command; configs/figures.yaml says what each means."""

    output_dir: Folder = Field(default="results/figures")  # pyright: ignore[reportAssignmentType]
    models: Annotated[Names | None, BeforeValidator(_one_or_more)] = None
    png: Switch = True
    scale: Annotated[float, Field(strict=True, gt=0.0, le=20.0)] = 1.5
