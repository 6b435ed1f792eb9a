"""Settings of the experiment on where notes come from."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pkv_interp.names import Curriculum
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.values import Count, CountOrNone, Draws, Fillers, Folder, Switch, Threshold, each_once
from pkv_interp.training.schedule import Stage, check


def _runnable(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    check(stages)
    if any(stage.chat for stage in stages):
        raise ValueError("no chats are replayed here: leave out chat")
    return stages


Stages = Annotated[tuple[Stage, ...], Field(min_length=1, max_length=64), AfterValidator(_runnable)]
Curricula = Annotated[tuple[Curriculum, ...], Field(max_length=3), AfterValidator(each_once)]


class OriginSettings(ScenarioSettings):
    """Settings of this experiment; configs/origin.yaml says what each means."""

    families: SeveralFamilies = None
    instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
    curricula: Curricula = ("early", "late", "mixed")
    reader_seeds: Count = 3
    prefill_curricula: Curricula = ("mixed",)
    writer_seeds: CountOrNone = 1
    both_seeds: CountOrNone = 0
    stages: Stages = (
        Stage(steps=110, lessons="listings", lr=(1.0e-3, 1.0e-3)),
        Stage(steps=70, lessons="rules", lr=(1.0e-3, 7.0e-4)),
        Stage(steps=80, lr=(7.0e-4, 5.0e-5), breadth=(0.0, 0.4), batch=8),
    )
    prefill_stages: Stages = (
        Stage(steps=40, lessons="listings", lr=(1.0e-3, 1.0e-3)),
        Stage(steps=70, lessons="rules", lr=(1.0e-3, 5.0e-4)),
        Stage(steps=40, lr=(5.0e-4, 5.0e-5), breadth=(0.0, 0.2), batch=8),
    )
    pool: Count = 16
    rank: Annotated[int, Field(strict=True, gt=0, le=1024)] = 16
    work_dir: Folder | None = Field(default="outputs/origin")  # pyright: ignore[reportAssignmentType]
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000
