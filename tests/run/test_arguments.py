"""Arguments of a command line that set keys inside a setting."""

from __future__ import annotations

import pytest

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.arguments import checked_arguments
from pkv_interp.training.courses import Reader
from tests.experiments.configs import compose


def test_keys_inside_a_course_are_set_as_its_recipe_says() -> None:
    """T12: of a recipe that is put on top, so that the file itself has no such key."""
    given = ["+recipe=reader", "course.active=question"]
    assert checked_arguments(TrainGateSettings, given) == ["+recipe=reader", "++course.active=question"]
    for argument, cause in (
        ("course.activ=question", "did you mean 'course.active'"),
        ("scenarios.name=a", "'scenarios' has no keys inside"),
        ("stages.steps=3", "'stages' has no keys inside"),
    ):
        with pytest.raises(PkvError) as caught:
            checked_arguments(TrainGateSettings, [argument])
        assert cause in str(caught.value)
    made = compose("train_gate", "+recipe=reader", "++course.active=question")
    assert isinstance(made, TrainGateSettings)
    assert made.course == Reader(active="question")
