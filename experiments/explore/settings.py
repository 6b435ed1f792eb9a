"""Settings of the explorer."""

from typing import Annotated

from pydantic import Field

from pkv_interp.run.data_file import OwnFile
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.run.settings import DEFAULT_MODEL, CommandSettings, Model
from pkv_interp.run.values import Megabytes, Seed, Switch
from pkv_interp.tasks import Scenarios

#: A port of TCP; 0 lets the system choose a free one.
Port = Annotated[int, Field(strict=True, ge=0, le=65535)]


class ExploreSettings(CommandSettings):
    """Settings of this command; configs/explore.yaml says what each means."""

    model: Model = Field(default=DEFAULT_MODEL)  # pyright: ignore[reportAssignmentType]
    port: Port = 8050
    browser: Switch = False
    scenarios: OwnFile = None
    seed: Seed = 0
    memory_budget_mb: Megabytes | None = None

    @property
    def world(self) -> Scenarios:
        """The scenarios that can be chosen.

        Raises:
            PkvError: the file has problems; all of them are named.
        """
        return world_of(self.scenarios)
