"""Figures say what was measured, on what, and show the record's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from experiments.circuit import figures
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.plots.theme import TEMPLATE
from pkv_interp.records import RunRecord
from tests.plots.examples import circuit_record, estimate

Draw = Callable[[RunRecord], Any]  # plotly types what a figure holds as unions of everything
EVERY: tuple[Draw, ...] = (
    figures.head_heatmap,
    figures.read_curve,
    figures.write_curve,
    figures.token_text,
    figures.token_bars,
    figures.token_kinds,
    figures.site_bars,
    figures.attention_share,
    figures.faithfulness_curve,
    figures.screening_scatter,
)
over_every = pytest.mark.parametrize("draw", EVERY, ids=lambda draw: draw.__name__)


def traces(figure: Any, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, k) == v for k, v in wanted.items())]


@over_every
def test_titles_name_model_and_sample_and_axes_have_titles(draw: Draw) -> None:
    figure = draw(circuit_record())
    assert figure.layout.template == go.Figure(layout={"template": TEMPLATE}).layout.template
    assert len(figure.layout.title.text) > 20
    subtitle = figure.layout.title.subtitle.text
    assert subtitle.startswith("made-up · ")
    assert "famil" in subtitle or "one prompt (documents-0)" in subtitle
    shown = [axis for axis in figure.select_yaxes() if axis.visible is not False]
    assert all(axis.title.text for axis in list(shown)[:1])


@over_every
def test_only_a_model_that_failed_the_gate_is_marked(draw: Draw) -> None:
    assert NOT_COMPETENT in draw(circuit_record(competent=False)).layout.title.text
    assert NOT_COMPETENT not in draw(circuit_record()).layout.title.text


@over_every
def test_a_record_without_the_table_is_refused(draw: Draw) -> None:
    bare = circuit_record().model_copy(update={"tables": {}})
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.circuit again"):
        draw(bare)


@over_every
def test_figures_fit_a_page(draw: Draw) -> None:
    for size in ((4, 3), (30, 9)):
        layout = draw(circuit_record(n_layers=size[0], n_heads=size[1])).layout
        template = layout.template.layout
        assert (layout.width or template.width) == 900
        assert 500 <= (layout.height or template.height) <= 620


def test_heatmap_holds_every_head_once_and_rings_the_first() -> None:
    record = circuit_record(n_layers=5, n_heads=3)
    figure = figures.head_heatmap(record, mark=4)
    read, write = traces(figure, type="heatmap")
    for panel, name, value in ((read, "read_heads", "held_out"), (write, "write_heads", "joint")):
        cells = np.asarray(panel.z)
        assert cells.shape == (3, 5)
        for line in record.tables[name]:
            assert cells[line["head"], line["layer"]] == line[value]  # type: ignore[index]
        assert panel.zmin == -panel.zmax  # white is 0
    rings = traces(figure, type="scatter")
    first = {
        (line["layer"], line["head"]) for line in record.tables["read_heads"] if line["rank"] in (1, 2, 3, 4)
    }
    assert set(zip(rings[0].x, rings[0].y, strict=True)) == first


def test_curves_show_values_and_intervals() -> None:
    record = circuit_record()
    figure = figures.read_curve(record)
    (top,) = traces(figure, name="k first on discovery families")
    lines = [line for line in record.tables["read_curve"] if line["arm"] == "top"]
    assert list(top.x) == [line["k"] for line in lines]
    assert list(top.y) == [line["value"] for line in lines]
    bands = traces(figure, fill="toself")
    assert len(bands) == 2
    assert list(bands[0].y[: len(lines)]) == [line["ci_high"] for line in lines]
    assert list(bands[0].y[len(lines) :]) == [line["ci_low"] for line in reversed(lines)]


def test_a_single_family_has_no_band() -> None:
    record = circuit_record()
    for name in ("read_curve", "write_curve", "token_kinds"):
        for line in record.tables[name]:
            line |= {"ci_low": None, "ci_high": None, "n_families": 1, "n_instances": 1}
    assert not traces(figures.read_curve(record), fill="toself")
    assert "1 held-out family, 1 instance" in figures.read_curve(record).layout.title.subtitle.text
    assert all(trace.error_y.array is None for trace in traces(figures.write_curve(record)))
    assert traces(figures.token_kinds(record))[0].error_x.array is None


def test_write_curve_has_both_places_and_their_ceilings() -> None:
    record = circuit_record()
    figure = figures.write_curve(record)
    for label, where in (("all aggregators", "joint"), ("top aggregator", "top")):
        (ceiling,) = traces(figure, name=label)
        found = {
            line["arm"]: line["value"] for line in record.tables["write_curve"] if line["where"] == where
        }
        assert dict(zip(ceiling.x, ceiling.y, strict=True)) == {
            "all heads": found["all_heads"],
            "all MLPs": found["all_mlps"],
        }


def test_attention_share_marks_the_reading_depth() -> None:
    figure = figures.attention_share(circuit_record(n_layers=6))
    (line,) = [shape for shape in figure.layout.shapes if shape.x0 == shape.x1 == 3]
    assert line.type == "line"
    attention, mlp = traces(figure, name="attention")[0], traces(figure, name="MLPs")[0]
    assert np.asarray(attention.y) + np.asarray(mlp.y) == pytest.approx(np.ones(6))


def test_faithfulness_names_its_area_only_where_the_record_claims_one() -> None:
    named = [trace.name for trace in traces(figures.faithfulness_curve(circuit_record())) if trace.name]
    assert "by the corrupt prompt's outputs, area 0.800 [0.700, 0.900]" in named
    unnamed = [t.name for t in traces(figures.faithfulness_curve(circuit_record(competent=False))) if t.name]
    assert not any("area" in name for name in unnamed)


def test_screening_has_an_identity_line_and_every_site() -> None:
    record = circuit_record()
    figure = figures.screening_scatter(record, name_first=2)
    (line,) = traces(figure, name="identity", showlegend=True)
    assert list(line.x) == list(line.y)
    heads, mlps = traces(figure, mode="markers+text")
    points = record.tables["screening_points"]
    assert len(heads.x) == sum(p["sites"] == "heads" for p in points)
    assert list(mlps.y) == [p["exact"] for p in points if p["sites"] == "mlps"]
    assert sum(bool(text) for text in heads.text) == 2


def test_sites_mark_aggregators() -> None:
    figure = figures.site_bars(circuit_record())
    assert sum("*" in label for label in traces(figure)[0].y) == 3


def test_estimates_of_the_example_are_valid() -> None:
    assert estimate(0.5)["n_families"] == 3
