"""Stages: which one a step belongs to, and what is refused."""

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.training.examples import PLACES
from pkv_interp.training.schedule import Stage, at, check, follow

STAGES = (
    Stage(steps=4, lessons="listings", lr=(1.0, 1.0)),
    Stage(
        steps=3,
        lr=(0.8, 0.4),
        mix={"plain": 0.25, "late": 0.25, "update": 0.25, "other_update": 0.25},
        breadth=(0.0, 1.0),
    ),
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
        check((Stage(steps=1, lr=(1.0, 1.0), mix={"plain": 0.5, "late": 0.4}),))
    with pytest.raises(PkvError, match="stage 1 asks for lessons of update"):
        check((Stage(steps=1, lessons="rules", lr=(1.0, 1.0), mix={"plain": 0.5, "update": 0.5}),))
    with pytest.raises(PkvError, match="the mix of stage 1 has neither plain nor late examples"):
        check((Stage(steps=1, lr=(1.0, 1.0), mix={"update": 1.0}),))


def test_a_curriculum_moves_the_field_and_changes_nothing_else() -> None:
    assert follow(STAGES, "mixed") == STAGES
    for name, kept, dropped in (("early", *PLACES), ("late", *PLACES[::-1])):
        followed = follow(STAGES, name)  # pyright: ignore[reportArgumentType]
        check(followed)
        for before, after in zip(STAGES, followed, strict=True):
            assert after.model_copy(update={"mix": before.mix}) == before
            assert dropped not in after.mix
            assert after.mix[kept] == pytest.approx(sum(before.mix.get(kind, 0.0) for kind in PLACES))
            assert {k: v for k, v in after.mix.items() if k not in PLACES} == {
                k: v for k, v in before.mix.items() if k not in PLACES
            }
