"""Settings of the command that builds the companion site."""

from typing import Literal

from pydantic import Field

from pkv_interp.run.settings import CommandSettings
from pkv_interp.run.values import Folder


class SiteSettings(CommandSettings):
    """Settings of this command; configs/site.yaml says what each means."""

    output_dir: Folder = Field(default="outputs/site")  # pyright: ignore[reportAssignmentType]
    notebooks: Literal["records", "all", "none"] = "records"
