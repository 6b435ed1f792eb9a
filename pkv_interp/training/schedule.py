"""The order in which training widens: stages, each with its own examples, learning rate and replay."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from pkv_interp.errors import PkvError
from pkv_interp.names import Curriculum
from pkv_interp.training.examples import KINDS, PLACES, Example, batch, lessons
from pkv_interp.training.updates import Kind

Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
Rate = Annotated[float, Field(strict=True, ge=0.0, le=1.0)]


class Stage(BaseModel):
    """A run of steps.

    Attributes:
        lessons: ``listings`` or ``rules`` for short opening lessons, None for whole prompts.
        lr: learning rate at the first and, linearly from there, at the last step.
        mix: shares of the kinds of examples, which sum to 1; kinds that are not named have none. Lessons are
            plain or late.
        breadth: of whole prompts, at the first and the last step (see `examples.make`).
        batch: examples per step.
        endings: pairs of whole prompts over one document (see `examples.batch`).
        chat: replayed chats per step; ``chat_weight`` is the weight of their loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    lessons: Literal["listings", "rules"] | None = None
    lr: tuple[Rate, Rate]
    mix: dict[Kind, Share] = {"plain": 1.0}
    breadth: tuple[Share, Share] = (0.0, 0.0)
    batch: Annotated[int, Field(strict=True, ge=1, le=4096)] = 16
    endings: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
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
            longest: neutral sentences at full breadth.
        """
        if self.lessons is not None:
            return lessons(seed, step, self.batch, self.mix, self.lessons == "listings")
        wide = self.breadth[0] + (self.breadth[1] - self.breadth[0]) * progress
        return batch(seed, step, self.batch, self.mix, wide, longest, self.endings)


def follow(stages: Sequence[Stage], curriculum: Curriculum) -> tuple[Stage, ...]:
    """The stages with the field before each rule (``early``), after it (``late``) or as given (``mixed``)."""
    if curriculum == "mixed":
        return tuple(stages)
    kept, dropped = PLACES if curriculum == "early" else PLACES[::-1]
    return tuple(
        stage.model_copy(
            update={
                "mix": {
                    kept: stage.mix.get(kept, 0.0) + stage.mix.get(dropped, 0.0),
                    **{kind: share for kind, share in stage.mix.items() if kind not in PLACES},
                }
            }
        )
        for stage in stages
    )


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
        PkvError: shares that do not sum to 1 or place no field, or lessons of a kind that lessons do not
            have.
    """
    for number, stage in enumerate(stages, start=1):
        if abs(sum(stage.mix.values()) - 1.0) > 1e-6:
            raise PkvError(
                f"the mix of stage {number} sums to {sum(stage.mix.values()):g}", "make its shares sum to 1"
            )
        odd = [kind for kind in KINDS if kind not in PLACES and stage.mix.get(kind, 0.0) > 0]
        if stage.lessons is not None and odd:
            raise PkvError(f"stage {number} asks for lessons of {odd[0]}", "lessons are plain or late")
        if not any(stage.mix.get(kind, 0.0) > 0 for kind in PLACES):
            raise PkvError(
                f"the mix of stage {number} has neither plain nor late examples",
                "give one of them a share: it places the field in all examples",
            )
