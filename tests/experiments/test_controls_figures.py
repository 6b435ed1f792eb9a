"""Figures of the controls show the numbers of the committed records."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.controls import figures
from experiments.figures.rooms import drawn_by
from pkv_interp.records import RunRecord
from tests.committed import committed

RECORDS = {record.subject: record for record in committed("controls")}


@pytest.fixture(params=sorted(RECORDS))
def record(request: pytest.FixtureRequest) -> RunRecord:
    return RECORDS[request.param]


def lines(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if trace.mode == "lines+markers"]


def test_all_of_them_are_drawn_by_the_command() -> None:
    assert set(drawn_by("controls").values()) == {figures.timing_curves, figures.specificity_curves}


def test_timing_shows_every_probe_and_both_depths(record: RunRecord) -> None:
    figure = figures.timing_curves(record)
    by_name = {trace.name: list(trace.y) for trace in lines(figure)}
    assert len(by_name) == 5
    shown = next(y for name, y in by_name.items() if "shuffled" in name)
    assert shown == [line["shuffled"] for line in record.tables["probes"]]
    layout: Any = figure.layout
    texts = {note.text: note for note in layout.annotations}
    assert {"written", "committed", "chance"} <= set(texts)
    upright = sorted(shape.x0 for shape in layout.shapes if shape.x0 == shape.x1)
    last = max(float(str(line["layer"])) for line in record.tables["lens"])
    depths = sorted(record.headline[name].value * last for name in ("write_depth", "commit_depth"))
    assert upright == pytest.approx(depths)


def test_specificity_shows_both_arms(record: RunRecord) -> None:
    top, random = lines(figures.specificity_curves(record))
    for trace, arm in ((top, "top"), (random, "random")):
        want = {line["k"]: line["value"] for line in record.tables["specificity"] if line["arm"] == arm}
        assert dict(zip(trace.x, trace.y, strict=True)) == want
