"""Figures of the patching experiment: they show the record's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.patching.figures import FIGURES
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records
from tests.experiments.patching_examples import lines


@pytest.fixture(scope="module")
def record(patching_results: Path) -> RunRecord:
    (found,) = load_records(patching_results)
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_and_marked(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert NOT_COMPETENT in figure.layout.title.text
    assert record.model_name in figure.layout.title.subtitle.text
    assert len(figure.data) > 0


@pytest.mark.parametrize("name", FIGURES)
def test_a_record_without_the_table_is_refused(name: str, record: RunRecord) -> None:
    bare = record.model_copy(update={"tables": {}})
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.patching again"):
        FIGURES[name](bare)


def test_bars_are_the_states(record: RunRecord) -> None:
    figure: Any = FIGURES["states"](record)
    recovered, decided = figure.data
    assert list(recovered.y) == [line["value"] for line in lines(record, "states")]
    assert list(decided.y) == [line["decides_new"] for line in lines(record, "states")]


def test_the_heatmap_holds_every_cell(record: RunRecord) -> None:
    figure: Any = FIGURES["grid"](record)
    cells = np.asarray(figure.data[0].z)
    assert cells.tolist() == [line["recovery"] for line in lines(record, "grid_example")]
    (first,) = lines(record, "grid_example", layer=0)
    assert len(figure.layout.xaxis.ticktext) == cells.shape[1] == len(first["tokens"])
    assert [trace.name for trace in figure.data[1:]] == list(dict.fromkeys(first["kinds"]))
    # The strip below covers every word once, in runs of one kind.
    spans = [range(round(s.x0 + 0.45), round(s.x1 + 0.55)) for s in figure.layout.shapes]
    assert [i for span in spans for i in span] == list(range(len(first["tokens"])))
    colours = {trace.name: trace.marker.color for trace in figure.data[1:]}
    for shape, span in zip(figure.layout.shapes, spans, strict=True):
        assert {shape.line.color} == {colours[first["kinds"][i]] for i in span}
