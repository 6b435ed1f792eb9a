"""Settings of the blast radius experiment."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.run.scenario_settings import AnyFamilies, PairSettings
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import Count, Draws, Fillers, Switch, Threshold, Tokens, each_once

#: Size of the joint patches in the headline.
HEADLINE_K = 8

#: A deviation relative to the size of what deviates.
Deviation = Annotated[float, Field(strict=True, gt=0.0, le=1000.0)]
FillerChoice = Annotated[tuple[Fillers, ...], Field(max_length=64), AfterValidator(each_once)]


class BlastRadiusSettings(ScreenSettings, PairSettings):
    """Settings of this experiment; configs/blast_radius.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = ExperimentSettings.SUMMARY_ONLY | {"thresholds"}

    families: AnyFamilies = None
    instances: Count = 1
    fillers: FillerChoice = (0, 4, 40)
    effect_fillers: FillerChoice = (4,)
    thresholds: Annotated[tuple[Deviation, ...], Field(max_length=64), AfterValidator(each_once)] = (
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.3,
        0.5,
    )
    chat: Switch = True
    guide_sizes: Annotated[tuple[Tokens, ...], Field(max_length=64), AfterValidator(each_once)] = (
        1,
        2,
        4,
        8,
        16,
    )
    random_draws: Count = 20
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @property
    def only_turning(self) -> bool:
        """Whether the layout has no place for other values or fields than those that turn the conclusion."""
        rules = (self.laid_out.rules or {}).values()
        return any("{other_value}" in rule for rule in rules) or "{bystander_1}" not in self.laid_out.state

    @model_validator(mode="after")
    def _measured_lengths(self) -> "BlastRadiusSettings":
        if stray := set(self.effect_fillers) - set(self.fillers):
            raise ValueError(f"effect_fillers names {min(stray)}, which fillers does not")
        return self
