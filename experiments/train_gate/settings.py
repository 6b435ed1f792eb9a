"""Settings of the gate adapter's training."""

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.names import Curriculum
from pkv_interp.run.scenario_settings import ScenarioSettings
from pkv_interp.run.settings import Model
from pkv_interp.run.values import Count, Draws, FillerCounts, Folder, Name, Steps, Switch
from pkv_interp.training.courses import AnyCourse, Programmable
from pkv_interp.training.schedule import Stage, check, follow
from pkv_interp.training.updates import Kind

#: What the last broad steps are about: a document's rule, and what has happened since.
_EVENTS: dict[Kind, float] = {
    "plain": 0.3,
    "late": 0.17,
    "update": 0.2,
    "several": 0.08,
    "reverted": 0.12,
    "other_update": 0.13,
}


def _runnable(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    check(stages)
    return stages


class TrainGateSettings(ScenarioSettings):
    """Settings of this experiment; configs/train_gate.yaml says what each means."""

    NOT_IN_CODE: ClassVar[str | None] = "the gate's adapter is trained and judged on rules in words"

    model: Model = Field(default="smollm2-135m-base")  # pyright: ignore[reportAssignmentType]
    work_dir: Folder = Field(default="outputs/train_gate")  # pyright: ignore[reportAssignmentType]
    adapter_dir: Folder = Field(default="pkv_interp/data/gate_smollm2_135m")  # pyright: ignore[reportAssignmentType]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=64), AfterValidator(_runnable)] = (
        Stage(steps=55, lessons="listings", lr=(1.0e-3, 1.0e-3)),
        Stage(steps=75, lessons="rules", lr=(1.0e-3, 8.5e-4)),
        Stage(steps=120, lessons="rules", lr=(8.0e-4, 7.0e-4), mix={"plain": 0.5, "late": 0.5}),
        Stage(
            steps=130,
            lr=(6.0e-4, 5.0e-4),
            mix={"plain": 0.45, "late": 0.25, "update": 0.22, "other_update": 0.08},
            breadth=(0, 0.3),
            chat=2,
            chat_weight=0.2,
        ),
        Stage(
            steps=150,
            lr=(5.0e-4, 4.0e-4),
            mix=_EVENTS,
            breadth=(0.2, 0.6),
            chat=2,
            chat_weight=0.3,
        ),
        Stage(
            steps=230,
            lr=(4.0e-4, 1.0e-5),
            mix=_EVENTS,
            breadth=(0.5, 1),
            batch=24,
            endings=3,
            chat=4,
            chat_weight=0.6,
        ),
    )
    train: Switch = True
    curriculum: Curriculum = "mixed"
    course: AnyCourse | None = None
    start: Name | None = None
    rank: Annotated[int, Field(strict=True, gt=0, le=1024)] = 16
    snapshot_every: Steps = 100
    lengths: FillerCounts = (0, 4, 12, 30, 56)
    instances: Count = 2
    mechanism_instances: Count = 1
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _there_is_a_teacher(self) -> Self:
        if self.start is not None and self.course is None:
            raise ValueError("start is of a course: the gate's own lessons begin from nothing")
        if (
            isinstance(self.course, Programmable)
            and self.course.objective != "answers"
            and self.start is None
        ):
            raise ValueError("there is nothing to distil: name the adapter that training starts from")
        return self

    @property
    def schedule(self) -> tuple[Stage, ...]:
        """The stages, with the field where the curriculum wants it."""
        return follow(self.stages, self.curriculum)

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    @property
    def snapshots(self) -> list[int]:
        """Steps whose adapter is judged: those that are kept, or the last one of a finished adapter."""
        if not self.train:
            return [self.steps]
        every = self.snapshot_every
        return sorted({*range(every, self.steps + 1, every), self.steps})
