"""Settings of the experiment on pictures."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pkv_interp.run.editing_settings import Methods
from pkv_interp.run.settings import ExperimentSettings, Model
from pkv_interp.run.values import Count, Draws, FillerCounts, Names, Sizes, Threshold

#: What an edit is judged by.
STALE, FULL = "stale", "full_reprefill"
METHODS = (
    STALE,
    "field_only",
    "recompute@4",
    "recompute@16",
    "cacheblend@0.15",
    "suffix_recompute",
    "erratum",
    "field_erratum",
    "hoist",
    FULL,
)
#: The ten kinds of questions (``pkv_interp.pictures.generators``).
KINDS = (
    *("colour", "shape", "place", "count", "count_colour"),
    *("colour_of", "shape_of", "side", "largest", "same"),
)
#: Rounds that are timed: an interval needs two.
Rounds = Annotated[int, Field(strict=True, ge=2, le=100)]


class VisionSettings(ExperimentSettings):
    """Settings of this experiment; configs/vision.yaml says what each means."""

    model: Model = Field(default="vision-tiny")  # pyright: ignore[reportAssignmentType]
    kinds: Names = KINDS
    pictures: Count = 12
    two: Count = 6
    pixels: Count = 112
    shifts: Sizes = (8, 32, 64)
    seams: FillerCounts = (0, 1, 2, 4, 8, 16)
    field_pictures: Count = 4
    methods: Methods = METHODS
    timed: Literal["model", "qwen2.5-vl-3b"] = "model"
    resolutions: Sizes = (448, 672, 1008, 1344)
    rounds: Rounds = 5
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _there_is_something_to_compare(self) -> Self:
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ValueError(f"there is no kind '{unknown[0]}'; kinds are {', '.join(KINDS)}")
        if self.seams[0] != 0:
            raise ValueError("seams begin with 0: nothing of the chunk is run again")
        if missing := {STALE, FULL} - set(self.methods):
            raise ValueError(f"methods hold {sorted(missing)[0]}: edits are judged by it")
        return self
