"""Figures of the blast radius: they show the record's numbers, in words and spans of the prompt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from experiments.blast_radius import figures
from experiments.blast_radius.effect_figures import blast_kinds, deviation_effect
from experiments.figures.rooms import drawn_by
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord, load_records

Draw = Callable[[RunRecord], go.Figure]
EVERY: tuple[Draw, ...] = (
    figures.blast_map,
    figures.blast_shares,
    figures.blast_growth,
    blast_kinds,
    deviation_effect,
)
over_every = pytest.mark.parametrize("draw", EVERY, ids=lambda draw: draw.__name__)


@pytest.fixture(scope="module")
def record(blast_radius_results: Path) -> RunRecord:
    (found,) = load_records(blast_radius_results)
    return found


def traces(figure: go.Figure, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, k) == v for k, v in wanted.items())]


def test_all_of_them_are_drawn_by_the_command() -> None:
    assert set(drawn_by("blast_radius").values()) == set(EVERY)


@over_every
def test_titles_axes_and_the_gate(draw: Draw, record: RunRecord) -> None:
    figure = draw(record)
    assert figure.layout.title.subtitle.text.startswith("tiny-llama · ")
    assert NOT_COMPETENT in figure.layout.title.text  # weights are random
    assert list(figure.select_yaxes())[0].title.text
    assert (figure.layout.width or figure.layout.template.layout.width) == 900


@over_every
def test_a_record_without_the_table_is_refused(draw: Draw, record: RunRecord) -> None:
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.blast_radius again"):
        draw(record.model_copy(update={"tables": {}}))


def test_the_map_holds_every_layer_and_token_and_is_white_before_the_field(record: RunRecord) -> None:
    table = record.tables["map"]
    panels = traces(figures.blast_map(record), type="heatmap")
    assert len(panels) == 3
    changed = [i for i, line in enumerate(table) if line["changed"]]
    for panel, name in zip(panels, ("k", "v", "output"), strict=True):
        cells = np.asarray(panel.z)
        assert cells.shape == (3, len(table))
        assert cells.T.tolist() == [line[name] for line in table]
        assert (cells[:, : changed[0]] == panel.zmin).all()
        assert panel.zmax > 0.0
    axis = list(figures.blast_map(record).select_xaxes())[-1]
    assert len(axis.ticktext) == len(table)


def test_shares_have_a_line_for_every_class_and_flip_and_one_legend(record: RunRecord) -> None:
    figure = figures.blast_shares(record)
    shown = [trace.name for trace in traces(figure) if trace.name and trace.showlegend]
    assert len(shown) == len(set(shown)) == 6
    (first, second) = traces(figure, name="high: a rule decides on it, semantic")
    wanted = [
        line["value"]
        for line in record.tables["thresholds"]
        if line["field_class"] == "high" and line["flip"] == "semantic" and line["measure"] == "output"
    ]
    assert list(first.y) == wanted
    assert list(first.x) == list(second.x) == record.config["thresholds"]


def test_the_scatter_has_every_position_and_guides_their_curves(record: RunRecord) -> None:
    figure = deviation_effect(record)
    kinds = {str(point["token_kind"]) for point in record.tables["effect_points"]}
    drawn = [trace for trace in traces(figure, mode="markers") if trace.name in kinds]
    assert sum(len(trace.x) for trace in drawn) == len(record.tables["effect_points"])
    (curve,) = traces(figure, name="output deviation")
    assert list(curve.x) == record.config["guide_sizes"]
    assert "rank correlation" in figure.layout.title.subtitle.text


def test_growth_and_kinds_show_their_tables(record: RunRecord) -> None:
    near, deep = traces(figures.blast_growth(record), name="low: nothing depends on it")
    assert len(deep.x) == 3
    assert len(near.x) >= 2
    (mass,) = traces(blast_kinds(record), name="of all deviation")
    assert sum(mass.x) == pytest.approx(1.0)
