"""Figures of every experiment, found in their rooms."""

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache

import plotly.graph_objects as go

from experiments import rooms
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord


@cache
def drawn_by(experiment: str) -> Mapping[str, Callable[[RunRecord], go.Figure]]:
    """Figures of an experiment by name; none where its room draws nothing."""
    if experiment not in rooms() or importlib.util.find_spec(f"experiments.{experiment}.figures") is None:
        return {}
    return importlib.import_module(f"experiments.{experiment}.figures").FIGURES


def draw(record: RunRecord, name: str) -> go.Figure:
    """One figure of a record.

    Raises:
        PkvError: its experiment draws no figure of that name, or the record lacks a table that it needs.
    """
    known = drawn_by(record.experiment)
    if name not in known:
        raise PkvError(f"{record.experiment} draws no figure '{name}'", f"choose from {', '.join(known)}")
    return known[name](record)
