"""Settings of the controls experiment."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from pkv_interp.run.left_out import families_left_out
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.split_settings import SplitSettings
from pkv_interp.run.values import Count, Draws, Shares, Sizes, Steps, Threshold, Tokens

#: Size of the position sets in the headline.
HEADLINE_K = 8


class ControlsSettings(ScreenSettings, SplitSettings):
    """Settings of this experiment; configs/controls.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = ExperimentSettings.SUMMARY_ONLY | {"probe_rise"}

    LEAST_NAMED: ClassVar[int] = 2

    instances: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 2
    n_aggregators: Count = 8
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    random_draws: Count = 20
    probe_layers: Count = 24
    probe_folds: Annotated[int, Field(strict=True, ge=2, le=100)] = 5
    probe_shuffles: Count = 3
    probe_rise: Annotated[float, Field(strict=True, gt=0.0, lt=0.5)] = 0.3
    edit_layers: Shares = (0.3, 0.4, 0.5, 0.6, 0.7)
    edit_instances: Count = 1
    edit_draws: Count = 3
    sae_samples: Tokens = 20_000
    sae_features: Count = 1024
    sae_active: Count = 32
    sae_steps: Steps = 1500
    sae_top: Sizes = (1, 3, 10, 30)
    template_instances: Count = 1
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _features_that_there_are(self) -> Self:
        if self.sae_active > self.sae_features:
            raise ValueError(
                f"sae_active={self.sae_active} is more than the {self.sae_features} of sae_features"
            )
        if self.sae_top[-1] > self.sae_features:
            raise ValueError(
                f"sae_top names {self.sae_top[-1]}, more than the {self.sae_features} of sae_features"
            )
        return self

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        few = self.more_than(edit_instances=(self.instances, "quads a family"))
        none_named = self.discovery is None and self.held_out is None
        return (*few, *(families_left_out(self) if none_named else ()))

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
