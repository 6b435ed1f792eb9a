"""Stages: which one a step belongs to, and what is refused."""

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.training.schedule import Stage, at, check

STAGES = (
    Stage(steps=4, lessons="listings", lr=(1.0, 1.0)),
    Stage(steps=3, lr=(0.8, 0.4), mix=(0.25, 0.25, 0.25, 0.25), breadth=(0.0, 1.0)),
)


def test_steps_fall_into_their_stages_and_move_through_them() -> None:
    assert [at(STAGES, step) for step in (0, 3, 4, 6)] == [
        (STAGES[0], 0.0),
        (STAGES[0], 1.0),
        (STAGES[1], 0.0),
        (STAGES[1], 1.0),
    ]
    assert STAGES[1].learning_rate(0.5) == pytest.approx(0.6)
    with pytest.raises(PkvError, match="step 7 is past the schedule's 7 steps"):
        at(STAGES, 7)


def test_lessons_are_shorter_than_broad_prompts() -> None:
    words = [
        max(len(" ".join(t.text for t in e.turns).split()) for e in STAGES[i].examples(0, step, 1.0, 30))
        for i in (0, 1)
        for step in range(6)
    ]
    assert max(words[:6]) < 60 < max(words[6:])


def test_schedules_that_cannot_run_are_refused() -> None:
    check(STAGES)
    with pytest.raises(PkvError, match="the mix of stage 1 sums to 0.9"):
        check((Stage(steps=1, lr=(1.0, 1.0), mix=(0.5, 0.4, 0.0, 0.0)),))
    with pytest.raises(PkvError, match="stage 1 asks for lessons of update"):
        check((Stage(steps=1, lessons="rules", lr=(1.0, 1.0), mix=(0.5, 0.0, 0.5, 0.0)),))
