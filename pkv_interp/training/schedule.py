"""The order in which training widens: stages, each with its own examples, learning rate and replay."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pkv_interp.errors import PkvError
from pkv_interp.training.examples import KINDS, Example, batch, lessons

Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Rate = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]


class Stage(BaseModel):
    """A run of steps.

    Attributes:
        lessons: ``listings`` or ``rules`` for short opening lessons, None for whole prompts.
        lr: learning rate at the first and, linearly from there, at the last step.
        mix: shares of plain, late, update and other-update examples; lessons are plain or late.
        breadth: of whole prompts, at the first and the last step (see `examples.make`).
        chat: replayed chats per step; ``chat_weight`` is the weight of their loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    lessons: Literal["listings", "rules"] | None = None
    lr: tuple[Rate, Rate]
    mix: tuple[Share, Share, Share, Share] = (1.0, 0.0, 0.0, 0.0)
    breadth: tuple[Share, Share] = (0.0, 0.0)
    batch: Annotated[int, Field(strict=True, ge=1, le=4096)] = 16
    chat: Annotated[int, Field(strict=True, ge=0, le=4096)] = 0
    chat_weight: Annotated[float, Field(strict=True, ge=0.0, le=1000.0)] = 0.0

    def learning_rate(self, progress: float) -> float:
        """Learning rate at ``progress`` (0 to 1) through the stage."""
        return self.lr[0] + (self.lr[1] - self.lr[0]) * progress

    def examples(self, seed: int, step: int, progress: float, longest: int) -> list[Example]:
        """The examples of one step, chats apart; ``step`` counts from the start of the training.

        Args:
            seed: of the training.
            step: counts from the start of the training.
            progress: through the stage, 0 to 1.
            longest: fillers at full breadth.
        """
        if self.lessons is not None:
            return lessons(seed, step, self.batch, self.mix, self.lessons == "listings")
        wide = self.breadth[0] + (self.breadth[1] - self.breadth[0]) * progress
        return batch(seed, step, self.batch, self.mix, wide, longest)


def at(stages: Sequence[Stage], step: int) -> tuple[Stage, float]:
    """The stage that a step belongs to, and how far through it the step is, 0 to 1.

    Raises:
        PkvError: the step lies after the last stage.
    """
    start = 0
    for stage in stages:
        if step < start + stage.steps:
            return stage, (step - start) / max(1, stage.steps - 1)
        start += stage.steps
    raise PkvError(f"step {step} is past the schedule's {start} steps", "add a stage")


def check(stages: Sequence[Stage]) -> None:
    """Refuse a schedule that cannot run.

    Raises:
        PkvError: shares that do not sum to 1, or lessons of a kind that lessons do not have.
    """
    for number, stage in enumerate(stages, start=1):
        if abs(sum(stage.mix) - 1.0) > 1e-6:
            raise PkvError(
                f"the mix of stage {number} sums to {sum(stage.mix):g}", "make its shares sum to 1"
            )
        if stage.lessons is not None and sum(stage.mix[2:]) > 0:
            raise PkvError(f"stage {number} asks for lessons of {KINDS[2]}", "lessons are plain or late")
