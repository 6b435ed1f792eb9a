"""Every configuration composes, every command has one, and YAML and Python say the same."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import experiments
from experiments.circuit.settings import CircuitSettings
from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.run.command import CONFIGS
from pkv_interp.training.schedule import check
from tests.experiments.configs import commands, compose, schema_of

#: Commands that take places on their command line and no settings.
WITHOUT_CONFIG = ("docs", "summarise")


def test_every_room_has_a_config_and_the_other_way_round() -> None:
    assert sorted(set(experiments.rooms()) - set(WITHOUT_CONFIG)) == commands()


@pytest.mark.parametrize("name", commands())
def test_every_config_composes_and_is_valid(name: str) -> None:
    settings = compose(name)
    assert isinstance(settings, schema_of(name))
    assert settings.results_dir == Path("results")
    assert callable(importlib.import_module(f"experiments.{name}.__main__").main)


@pytest.mark.parametrize("name", commands())
def test_yaml_and_python_have_the_same_defaults(name: str) -> None:
    assert schema_of(name)() == compose(name)


@pytest.mark.parametrize("name", commands())
def test_every_key_of_the_schema_is_written_down(name: str) -> None:
    text = "".join((CONFIGS / f"{stem}.yaml").read_text() for stem in ("base", name))
    keys = set(schema_of(name).model_fields) - {"model"}
    assert {key for key in keys if f"{key}:" not in text} == set()


def test_the_recipe_of_another_model_composes() -> None:
    recipe, default = compose("train_gate", "+recipe=gemma3-270m"), compose("train_gate")
    assert isinstance(recipe, TrainGateSettings)
    assert isinstance(default, TrainGateSettings)
    check(recipe.stages)
    assert (recipe.model.name, recipe.model.package) == ("gemma3-270m-base", "gemma3-270m")
    gate = load_catalogue_entry("gemma3-270m-gate")
    assert (gate.package, gate.adapter) == (recipe.model.package, recipe.adapter_dir.name)
    assert recipe.work_dir != default.work_dir


@pytest.mark.parametrize("name", ["early", "late"])
def test_a_curriculum_has_the_default_lessons_and_another_place_of_the_field(name: str) -> None:
    recipe, default = compose("train_gate", f"+recipe={name}"), compose("train_gate")
    assert isinstance(recipe, TrainGateSettings)
    assert isinstance(default, TrainGateSettings)
    assert (recipe.curriculum, default.curriculum) == (name, "mixed")
    lessons = [stage for stage in default.stages if stage.lessons is not None]
    assert list(recipe.stages[: len(lessons)]) == lessons
    other = compose("train_gate", f"+recipe={'late' if name == 'early' else 'early'}")
    assert isinstance(other, TrainGateSettings)
    assert recipe.stages == other.stages  # the place of the field is all that the two differ in
    assert default.schedule == default.stages
    check(recipe.schedule)
    assert all(("plain" in stage.mix) is (name == "early") for stage in recipe.schedule)
    assert len({default.work_dir, recipe.work_dir}) == len({default.adapter_dir, recipe.adapter_dir}) == 2


@pytest.mark.parametrize("override", ["seed=-1", "threads=-1", "threads=0", "memory_budget_mb=-5"])
def test_a_shared_key_out_of_range_is_refused_by_name(override: str) -> None:
    with pytest.raises(PkvError, match=f"config key '{override.split('=')[0]}'"):
        compose("circuit", override)


@pytest.mark.parametrize(
    ("override", "cause"),
    [
        ("top_k=[]", "at least one"),
        ("top_k=[3,1]", "rising order"),
        ("discovery=[orders,orders]", "each once"),
        ("held_out=[]", "at least one family"),
        ("held_out=[orders]", "of the other split"),
        ("bootstrap_draws=50", "greater than or equal to 100"),
        ("competence_threshold=5", "less than or equal to 1"),
        ("threads=100000", "less than or equal to"),
    ],
)
def test_circuit_refuses_before_any_work(override: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("circuit", override)


def test_the_headlines_set_of_heads_is_always_among_the_sizes() -> None:
    settings = compose("circuit", "top_k=[1,2]")
    assert isinstance(settings, CircuitSettings)
    assert settings.sizes == [1, 2, 12]
