"""Experiments: one room each, run as ``python -m experiments.NAME`` or as ``find("NAME").run(...)``."""

import importlib
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError, short, suggestion


def rooms() -> tuple[str, ...]:
    """Names of everything that can be run."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/__main__.py")))


def find(name: str) -> Any:
    """An experiment, ready to ``run``.

    Raises:
        PkvError: there is none of that name.
    """
    if name not in names():
        raise PkvError(f"there is no experiment {short(name)}", suggestion(str(name), names()))
    return importlib.import_module(f"experiments.{name}.experiment").EXPERIMENT


def names() -> tuple[str, ...]:
    """Names of all experiments; commands that only read records are none."""
    return tuple(sorted(path.parent.name for path in Path(__file__).parent.glob("*/experiment.py")))
