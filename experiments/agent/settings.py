"""Settings of the agent experiment."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.names import EPISODE_TURNS, Sink
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.left_out import families_left_out
from pkv_interp.run.scenario_settings import ScenarioSettings, of_split
from pkv_interp.run.values import (
    AnyNames,
    Count,
    CountOrNone,
    Draws,
    Fillers,
    Switch,
    Threshold,
    TokensOrNone,
)


class AgentSettings(ScenarioSettings):
    """Settings of this experiment; configs/agent.yaml says what each means."""

    NOT_IN_CODE: ClassVar[str | None] = "the agent's transcript is written in words"

    domains: AnyNames | None = None
    instances: Count = 3
    turns: Annotated[int, Field(strict=True, ge=EPISODE_TURNS[0], le=EPISODE_TURNS[1])] = 5
    n_fillers: Fillers = 12
    n_preface: Fillers = 6
    field_late: Switch = True
    both_layouts: CountOrNone = 2
    chat: Switch = True
    erratum: Erratum = "tagged"
    sink: Sink = "prefix"
    seam: TokensOrNone = 0
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _nothing_to_repair(self) -> Self:
        if self.seam and self.model.pattern is not None:
            raise PkvError(
                f"policies of {self.model.name} are blind, so that there is no seam to repair", "set seam=0"
            )
        return self

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        few = self.more_than(both_layouts=(self.instances, "episodes a domain"))
        return (*few, *(families_left_out(self, ("held_out",)) if self.domains is None else ()))

    @field_validator("domains")
    @classmethod
    def _held_out_and_several(
        cls, names: tuple[str, ...] | None, info: ValidationInfo
    ) -> tuple[str, ...] | None:
        return of_split(names, info, least=2, split="held_out")
