"""Settings of the anatomy experiment."""

from typing import Self

from pydantic import ValidationInfo, field_validator, model_validator

from pkv_interp.run.scenario_settings import FieldValues, ScenarioSettings, of_split
from pkv_interp.run.together import refuse_unused_values
from pkv_interp.run.values import AnyNames, Count, Draws, Fillers, Sizes, Switch, Threshold

#: Size of the head sets in the headline.
HEADLINE_K = 12


class AnatomySettings(ScenarioSettings):
    """Settings of this experiment; configs/anatomy.yaml says what each means."""

    discovery: AnyNames | None = None
    held_out: AnyNames | None = None
    values: FieldValues = {}
    instances: Count = 2
    ranking_instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
    top_k: Sizes = (1, 4, 12, 24)
    random_draws: Count = 5
    predicted_k: Sizes = (1, 2, 4, 8, 16, 32)
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, least=1)

    @model_validator(mode="after")
    def _values_are_used(self) -> Self:
        if self.values and (self.scenarios is None or self.scenarios.is_here):
            used = [*self.split("discovery", self.discovery), *self.split("held_out", self.held_out)]
            refuse_unused_values(self.values, used)
        return self

    @property
    def sizes(self) -> list[int]:
        """Sizes of head sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
