"""Settings of the blast radius experiment."""

from typing import Any, ClassVar

from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from pkv_interp.run.scenario_settings import PairSettings
from pkv_interp.run.settings import Draws, ExperimentSettings, Threshold

#: Size of the joint patches in the headline.
HEADLINE_K = 8


class BlastRadiusSettings(PairSettings):
    """Settings of this experiment; configs/blast_radius.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = ExperimentSettings.SUMMARY_ONLY | {"thresholds"}

    families: tuple[str, ...] | None = None
    instances: PositiveInt = 1
    fillers: tuple[NonNegativeInt, ...] = (0, 4, 40)
    effect_fillers: tuple[NonNegativeInt, ...] = (4,)
    thresholds: tuple[PositiveFloat, ...] = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
    chat: bool = True
    guide_sizes: tuple[PositiveInt, ...] = (1, 2, 4, 8, 16)
    random_draws: PositiveInt = 20
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("families", "fillers", "effect_fillers", "thresholds", "guide_sizes")
    @classmethod
    def _without_repeats(cls, given: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if given is not None and (not given or len(set(given)) < len(given)):
            raise ValueError("the list is empty or names something twice")
        return given

    @model_validator(mode="after")
    def _measured_lengths(self) -> "BlastRadiusSettings":
        if stray := set(self.effect_fillers) - set(self.fillers):
            raise ValueError(f"effect_fillers names {min(stray)}, which fillers does not")
        return self
