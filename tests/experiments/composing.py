"""Configurations composed in process, as the command line would compose them."""

from __future__ import annotations

import importlib

from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from experiments._cli import CONFIGS, Door, validate

#: Configurations that others build on; every other file belongs to the experiment of its name.
SHARED = ("base",)


def commands() -> list[str]:
    """Names of all commands, one per file under configs/."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem not in SHARED)


def schema_of(name: str) -> type[Door]:
    """The settings class that ``experiments.<name>`` defines."""
    module = importlib.import_module(f"experiments.{name}")
    (schema,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Door) and value.__module__ == module.__name__
    ]
    return schema


def compose(name: str, *overrides: str) -> Door:
    """Compose ``configs/<name>.yaml`` and validate it as the experiment does."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return validate(schema_of(name), hydra_compose(name, list(overrides)))
