"""What is measured of each model of the experiment on programmable caches, and of which model."""

from __future__ import annotations

from experiments.programmable.edits import long_margins
from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.measure.edit_scenes import SceneSource
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


def small(**changes: object) -> ProgrammableSettings:
    made = compose("programmable", *runs.PROGRAMMABLE)
    assert isinstance(made, ProgrammableSettings)
    return made.model_copy(update=changes)


def test_a_long_prompt_has_no_error_of_an_edit_that_nothing_measured():
    loaded = tiny("llama")
    source = SceneSource.of(small(), loaded.tokenizer)
    found = long_margins(loaded, source.scenes(source.style(3, late=False), 1)[0], 0)
    assert "full_isolated" not in found.margins
    assert found.apart is None
