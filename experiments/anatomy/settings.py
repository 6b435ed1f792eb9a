"""Settings of the anatomy experiment."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.split_settings import SplitSettings
from pkv_interp.run.values import Count, Draws, Sizes, Threshold, each_once

#: Size of the head sets in the headline.
HEADLINE_K = 12


class AnatomySettings(ScreenSettings, SplitSettings):
    """Settings of this experiment; configs/anatomy.yaml says what each means."""

    PER_FAMILY: ClassVar[tuple[str, ...]] = ("instances", "ranking_instances")

    instances: Count = 2
    ranking_instances: Count = 1
    top_k: Sizes = (1, 4, 12, 24)
    random_draws: Count = 5
    predicted_k: Sizes = (1, 2, 4, 8, 16, 32)
    errata: Annotated[tuple[Erratum, ...], Field(max_length=16), AfterValidator(each_once)] = (
        "tagged",
        "override",
    )
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @property
    def sizes(self) -> list[int]:
        """Sizes of head sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
