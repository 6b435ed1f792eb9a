"""Settings of the agent experiment."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from pkv_interp.agent.episodes import FEWEST, MOST
from pkv_interp.composing.chunk import Sink
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.scenario_settings import ScenarioSettings, of_split
from pkv_interp.run.settings import Draws, Threshold


class AgentSettings(ScenarioSettings):
    """Settings of this experiment; configs/agent.yaml says what each means."""

    domains: tuple[str, ...] | None = None
    instances: PositiveInt = 3
    turns: Annotated[int, Field(ge=FEWEST, le=MOST)] = 5
    n_fillers: NonNegativeInt = 12
    n_preface: NonNegativeInt = 6
    field_late: bool = True
    both_layouts: NonNegativeInt = 2
    chat: bool = True
    erratum: Erratum = "tagged"
    sink: Sink = "prefix"
    seam: NonNegativeInt = 0
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("domains")
    @classmethod
    def _held_out_and_several(
        cls, names: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        return of_split(names, info, least=2, split="held_out")
