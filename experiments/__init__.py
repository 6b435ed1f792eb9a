"""Experiments: one room each, run as ``python -m experiments.NAME`` or as ``find("NAME").run(...)``."""

import importlib
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError


def rooms() -> tuple[str, ...]:
    """Names of everything that can be run."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/__main__.py")))


def find(name: str) -> Any:
    """An experiment, ready to ``run``.

    Raises:
        PkvError: there is none of that name.
    """
    found = None
    if name in rooms():
        found = getattr(importlib.import_module(f"experiments.{name}.__main__"), "EXPERIMENT", None)
    if found is None:
        raise PkvError(f"there is no experiment '{name}'", f"choose from {', '.join(names())}")
    return found


def names() -> tuple[str, ...]:
    """Names of all experiments; commands that only read records are none."""
    return tuple(
        name
        for name in rooms()
        if hasattr(importlib.import_module(f"experiments.{name}.__main__"), "EXPERIMENT")
    )
