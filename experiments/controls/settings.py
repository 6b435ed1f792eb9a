"""Settings of the controls experiment."""

from typing import Annotated, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from pkv_interp.run.scenario_settings import ScenarioSettings, of_split
from pkv_interp.run.settings import Draws, ExperimentSettings, Shares, Sizes, Threshold

#: Size of the position sets in the headline.
HEADLINE_K = 8


class ControlsSettings(ScenarioSettings):
    """Settings of this experiment; configs/controls.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = ExperimentSettings.SUMMARY_ONLY | {"probe_rise"}

    discovery: tuple[str, ...] | None = None
    held_out: tuple[str, ...] | None = None
    values: dict[str, tuple[str, str]] = {}
    instances: Annotated[int, Field(ge=2)] = 2
    n_fillers: NonNegativeInt = 2
    chat: bool = True
    n_aggregators: PositiveInt = 8
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    random_draws: PositiveInt = 20
    probe_layers: PositiveInt = 24
    probe_folds: Annotated[int, Field(ge=2)] = 5
    probe_shuffles: PositiveInt = 3
    probe_rise: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.3
    edit_layers: Shares = (0.3, 0.4, 0.5, 0.6, 0.7)
    edit_instances: PositiveInt = 1
    edit_draws: PositiveInt = 3
    sae_features: PositiveInt = 512
    sae_active: PositiveInt = 16
    sae_steps: PositiveInt = 600
    sae_top: Sizes = (1, 3, 10, 30)
    template_instances: PositiveInt = 1
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, least=2)

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
