"""Settings of the picture model's training."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from pkv_interp.run.settings import ExperimentSettings, Model
from pkv_interp.run.values import Count, CountOrNone, Draws, Folder, Sizes, Steps, Switch

#: Learning rate at its highest.
Rate = Annotated[float, Field(strict=True, gt=0.0, le=1.0)]
#: Examples of a step.
Batch = Annotated[int, Field(strict=True, ge=1, le=4096)]


#: Steps of each round after the training proper.
Rounds = Annotated[tuple[Steps, ...], Field(max_length=16, strict=False)]


class TrainVisionSettings(ExperimentSettings):
    """Settings of this experiment; configs/train_vision.yaml says what each means."""

    model: Model = Field(default="vision-untrained")  # pyright: ignore[reportAssignmentType]
    work_dir: Folder = Field(default="outputs/train_vision")  # pyright: ignore[reportAssignmentType]
    model_dir: Folder = Field(default="pkv_interp/data/vision_tiny")  # pyright: ignore[reportAssignmentType]
    train: Switch = True
    tower_steps: Steps = 500
    simple_steps: CountOrNone = 800
    steps: Steps = 2600
    again_steps: Rounds = (1200, 1200)
    tower_batch: Batch = 64
    batch: Batch = 32
    lr: Rate = 1.5e-3
    pictures: Count = 40
    prefaces: Sizes = (8, 32, 64)
    field_pictures: Count = 10
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _simple_questions_come_first(self) -> Self:
        if self.simple_steps > self.steps:
            raise ValueError(f"simple_steps={self.simple_steps} are some of steps={self.steps}")
        return self

    @model_validator(mode="after")
    def _it_is_our_own_shape(self) -> Self:
        if self.model.source != "tiny" or self.model.family != "pictures":
            raise ValueError(
                f"{self.model.name} is not the untrained picture model; set model=vision-untrained"
            )
        return self
