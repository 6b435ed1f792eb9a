"""Settings of the experiment on architectures."""

from typing import Self

from pydantic import Field, field_validator, model_validator

from pkv_interp.models.architecture_table import architecture
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.settings import Model
from pkv_interp.run.values import Count, Draws, Fillers, Names, Switch, Threshold

#: The catalogue's entry that stands for all tiny architectures.
TABLE = "tiny-table"


class ArchitecturesSettings(ScenarioSettings):
    """Settings of this experiment; configs/architectures.yaml says what each means."""

    model: Model = Field(default=TABLE)  # pyright: ignore[reportAssignmentType]
    architectures: Names | None = None
    families: SeveralFamilies = None
    instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
    erratum: Erratum = "override"
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("architectures")
    @classmethod
    def _in_the_table(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            architecture(name)
        return names

    @model_validator(mode="after")
    def _rows_of_the_table(self) -> Self:
        if self.architectures is not None and not self.is_table:
            raise ValueError(f"architectures names rows of {TABLE}; leave it out, or set model={TABLE}")
        if self.remote or self.prefill_dtype != "float32":
            raise ValueError("prompts are read whole and here; set remote=false and prefill_dtype=float32")
        if self.model.pattern is not None:
            raise ValueError(
                f"prompts of {self.model.name} are read without a pattern; set model.pattern=null"
            )
        return self

    @property
    def is_table(self) -> bool:
        """Whether all tiny architectures are tried, and not one model."""
        return self.model.source == load_catalogue_entry(TABLE).source

    @property
    def rank_instances(self) -> int:
        """Instances that rank positions: none, as no position is chosen."""
        return 0
