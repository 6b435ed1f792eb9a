"""Figures of the editing experiment show its tables, and draw the record that is committed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.editing import figures
from experiments.editing.figures import FIGURES
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.tables import TableAbsent
from tests.committed import committed

over_every = pytest.mark.parametrize("draw", FIGURES.values(), ids=list(FIGURES))
Draw = Callable[[RunRecord], Any]


@pytest.fixture(scope="module")
def record(editing_results: Path) -> RunRecord:
    (found,) = load_records(editing_results)
    return found


@over_every
def test_figures_are_drawn_and_marked(draw: Draw, record: RunRecord) -> None:
    figure = draw(record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert figure.layout.title.subtitle.text.startswith("tiny-llama · 2 scenario families")
    assert len(figure.data) > 0


@over_every
def test_a_record_without_the_table_is_refused(draw: Draw, record: RunRecord) -> None:
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.editing again"):
        draw(record.model_copy(update={"tables": {}}))


def test_the_committed_record_is_drawn() -> None:
    for found in committed("editing"):
        absent = set()
        for name, draw in FIGURES.items():
            try:
                figure: Any = draw(found)
                assert len(figure.data) > 0
            except TableAbsent:
                absent.add(name)
        assert absent <= {"sources"}  # which is newer than the record


def test_the_frontier_has_a_point_a_method(record: RunRecord) -> None:
    figure: Any = figures.frontier_scatter(record)
    shown = {trace.name: (trace.x[0], trace.y[0]) for trace in figure.data}
    assert shown == {
        line["method"]: (line["recompute_share"], line["p_correct"]) for line in record.tables["frontier"]
    }


def test_the_sweep_is_a_cell_a_selector_and_size(record: RunRecord) -> None:
    (cells,) = figures.sweep_heatmap(record).data
    made: Any = cells
    by_cell = {(line["selector"], line["k"]): line["value"] for line in record.tables["k_sweep"]}
    for name, row in zip(made.y, made.z, strict=True):
        for k, value in zip(made.x, row, strict=True):
            assert value == by_cell[name.replace(" ", "_"), int(k)]
