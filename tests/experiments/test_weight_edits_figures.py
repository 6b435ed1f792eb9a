"""The weight-edit figure shows the table's numbers, one bar a method and panel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.weight_edits.figures import NAMES, PANELS, weight_edit_bars
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records


def line(method: str, edits: str, value: float, *, interval: bool) -> dict[str, Any]:
    made: dict[str, Any] = {"method": method, "edits": edits, "layer": None}
    made |= {"n_families": 3, "n_instances": 6}
    for column, _ in PANELS:
        at = 100.0 * value + 1.0 if column == "latency_ms" else value
        ends = (at - 0.1, at + 0.1) if interval else (None, None)
        made |= {column: at, f"{column}_ci_low": ends[0], f"{column}_ci_high": ends[1]}
    return made


@pytest.fixture(scope="module")
def measured(weight_edits_results: Path) -> RunRecord:
    (found,) = load_records(weight_edits_results)
    return found


def made_up(measured: RunRecord, *, interval: bool = True) -> RunRecord:
    """A record with two methods whose every number is known."""
    lines = [
        line("field_erratum", "cache", 0.2, interval=interval),
        line("rome_record", "weights", 0.6, interval=interval),
    ]
    return measured.model_copy(update={"tables": {"weight_edit": lines}})


def panels(figure: Any) -> list[Any]:
    return [trace for trace in figure.data if not trace.name]


def test_every_panel_holds_every_method_with_its_interval(measured: RunRecord) -> None:
    figure = weight_edit_bars(made_up(measured))
    assert len(panels(figure)) == len(PANELS)
    for trace, (column, _) in zip(panels(figure), PANELS, strict=True):
        shown = dict(zip(trace.y, trace.x, strict=True))
        scale = (lambda v: 100.0 * v + 1.0) if column == "latency_ms" else (lambda v: v)
        assert shown == {NAMES["field_erratum"]: scale(0.2), NAMES["rome_record"]: scale(0.6)}
        assert list(trace.error_x.array) == pytest.approx([0.1, 0.1])
    first, second = (trace.marker.color for trace in figure.data if trace.name)  # type: ignore[attr-defined]
    assert list(panels(figure)[0].marker.color) == [second, first]  # the first method is drawn on top
    assert "3 scored families, 6 instances" in figure.layout.title.subtitle.text  # type: ignore[attr-defined]


def test_a_single_family_has_no_bars_of_error(measured: RunRecord) -> None:
    figure = weight_edit_bars(made_up(measured, interval=False))
    assert all(trace.error_x.array is None for trace in panels(figure))


def test_a_record_without_the_table_is_refused(measured: RunRecord) -> None:
    with pytest.raises(PkvError, match="has no table 'weight_edit'"):
        weight_edit_bars(measured.model_copy(update={"tables": {}}))


def test_a_run_is_drawn_with_all_its_methods(measured: RunRecord) -> None:
    drawn = panels(weight_edit_bars(measured))
    assert all(len(trace.y) == len(measured.tables["weight_edit"]) == len(NAMES) for trace in drawn)
