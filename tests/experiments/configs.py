"""Configurations composed in process, as the command line would compose them."""

from __future__ import annotations

import importlib

from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from pkv_interp.run.arguments import CONFIGS
from pkv_interp.run.composed import settings_of
from pkv_interp.run.settings import CommandSettings

#: Configurations that others build on, and files that commands are judged by; every other file belongs to the
#: command of its name.
SHARED = ("base", "preregistration", "preregistration_programmable")


def commands() -> list[str]:
    """Names of all commands, one per file under configs/."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in SHARED)


def schema_of(name: str) -> type[CommandSettings]:
    """The settings class of ``experiments.<name>``."""
    module = importlib.import_module(f"experiments.{name}.settings")
    (schema,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, CommandSettings)
        and value.__module__ == module.__name__
    ]
    return schema


def compose(name: str, *overrides: str) -> CommandSettings:
    """Compose ``configs/<name>.yaml`` and validate it as the command does."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return settings_of(schema_of(name), hydra_compose(name, list(overrides)))
