"""Every configuration composes, and every command has one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import experiments
from experiments._cli import CONFIGS
from pkv_interp.errors import PkvError
from tests.experiments.composing import commands, compose, schema_of


def test_every_experiment_has_a_config_and_the_other_way_round() -> None:
    modules = Path(experiments.__file__).parent.glob("[!_]*.py")
    assert sorted(path.stem for path in modules) == commands()


@pytest.mark.parametrize("name", commands())
def test_every_config_composes_and_is_valid(name: str) -> None:
    settings = compose(name)
    assert isinstance(settings, schema_of(name))
    assert settings.results_dir == Path("results")
    assert callable(importlib.import_module(f"experiments.{name}").main)


@pytest.mark.parametrize("name", commands())
def test_every_key_of_the_schema_is_written_down(name: str) -> None:
    text = "".join((CONFIGS / f"{stem}.yaml").read_text() for stem in ("base", name))
    keys = set(schema_of(name).model_fields) - {"model"}
    assert {key for key in keys if f"{key}:" not in text} == set()


@pytest.mark.parametrize("override", ["seed=-1", "threads=-1", "threads=0", "memory_budget_mb=-5"])
def test_a_shared_key_out_of_range_is_refused_by_name(override: str) -> None:
    with pytest.raises(PkvError, match=f"config key '{override.split('=')[0]}'"):
        compose("circuit", override)
