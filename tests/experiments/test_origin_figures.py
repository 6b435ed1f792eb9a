"""Figures of origin show recoveries of those arrangements alone that decide well enough."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.origin import figures
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("origin"))
    return found


def deciding(record: RunRecord, **which: Any) -> RunRecord:
    """The record, as if one arrangement were always right and all others half the time."""
    lines = [
        {**line, "value": 1.0 if all(line[k] == v for k, v in which.items()) else 0.5}
        for line in record.tables["accuracy"]
    ]
    return record.model_copy(update={"tables": {**record.tables, "accuracy": lines}})


def bars(figure: Any, name: str) -> list[str]:
    """Where the bars of one name stand."""
    (trace,) = (one for one in figure.data if one.name == name and one.type == "bar")
    return list(trace.x)


def heights(figure: Any, name: str) -> list[float]:
    """How high the bars of one name are."""
    (trace,) = (one for one in figure.data if one.name == name and one.type == "bar")
    return list(trace.y)


def standing(figure: Any) -> list[list[str]]:
    """Where the bars of every name stand."""
    return [list(trace.x) for trace in figure.data]


def laid_out(figure: Any) -> Any:
    """The layout of a figure."""
    return figure.layout


def test_only_cells_that_decide_have_recoveries(record: RunRecord) -> None:
    made = deciding(record, role="writer", curriculum="mixed")
    drawn = figures.roles(made)
    assert bars(drawn, "notes alone") == ["writer,<br>mixed"]
    assert set(bars(drawn, "field differs")) > {"writer,<br>mixed", "reader,<br>late"}
    assert bars(figures.crossover(made), "notes alone") == []
    assert {place for kind in standing(figures.locus(made)) for place in kind} == {"writer,<br>mixed"}
    for draw in figures.FIGURES.values():
        title = laid_out(draw(made)).title
        assert NOT_COMPETENT not in title.text
        assert "recovery only where 80% of each side" in title.subtitle.text


def test_one_side_is_not_enough(record: RunRecord) -> None:
    made = deciding(record, role="writer", curriculum="mixed", side="match")
    assert bars(figures.roles(made), "notes alone") == []
    (note,) = laid_out(figures.locus(made)).annotations
    assert note.text == "no trained part decides well enough"


def test_the_late_figure_asks_the_accuracy_where_the_field_is_late(record: RunRecord) -> None:
    late = figures.late(deciding(record, role="reader", curriculum="late", place="late"))
    for name in ("field flips: its own tokens", "trigger flips: its own token"):
        assert bars(late, name) == ["reader,<br>late"]
    assert bars(late, "trigger flips: the field's tokens") == ["reader,<br>late"]
    (held,) = (
        line["value"]
        for line in record.tables["locus"]
        if (line["role"], line["curriculum"], line["changed"], line["kind"])
        == ("reader", "late", "trigger_late", "field")
    )
    assert heights(late, "trigger flips: the field's tokens") == [held]
    early = figures.late(deciding(record, role="reader", curriculum="late", place="early"))
    assert bars(early, "field flips: its own tokens") == []
    assert "no trained part decides well enough" in {note.text for note in laid_out(early).annotations}
