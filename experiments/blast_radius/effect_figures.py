"""Figures of the blast radius experiment: deviation beside causal effect."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.blast_radius.looks import ABOVE, EVALUATION, classes_of
from experiments.blast_radius.tables import ByKind, DeviationEffect, EffectKind, EffectPoint, Guide
from pkv_interp.plots.curves import INTERVALS, Line, band
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.plots.words import KIND_COLOURS, shown
from pkv_interp.records import RunRecord

_OUTPUT = "attention-output deviation (largest over layers)"


def blast_kinds(record: RunRecord) -> go.Figure:
    """Deviation per token by kind and class; beside it each kind's share of the deviation and effect."""
    frame, effect = table(record, ByKind), table(record, EffectKind)
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=["mean per token", "share of the whole, class high"],
    )
    mass = pick(frame, field_class="high", quantity="deviation_mass").sort_values("value")
    order = mass["kind"].tolist()
    for name, (label, colour) in classes_of(frame).items():
        part = pick(frame, field_class=name, quantity="mean_output")
        _bars(figure, part, label, colour, 1)
    _bars(figure, mass, "of all deviation", VERMILLION, 2)
    _bars(figure, pick(frame, field_class="high", quantity="token_share"), "of all tokens", SKY, 2)
    _bars(figure, effect, "of the recovery (sum of single positions)", GREEN, 2)
    kinds = [*order, *sorted({str(kind) for kind in frame["kind"]} - set(order))]
    figure.update_yaxes(categoryorder="array", categoryarray=kinds, automargin=True)
    figure.update_yaxes(title="token kind", row=1, col=1)
    figure.update_xaxes(title="attention-output deviation", row=1, col=1)
    figure.update_xaxes(title="share, or recovery", row=1, col=2)
    figure.update_layout(
        barmode="group",
        height=max(560, 52 * len(kinds) + 200),
        legend=ABOVE | {"traceorder": "normal", "entrywidth": 260, "y": 1.05},
        margin={"t": 195},
    )
    figure.update_annotations(font_size=13)
    shown_values = pd.concat([mass["value"], effect["value"]])
    figure.update_xaxes(range=_in_view(pd.Series(shown_values)), row=1, col=2)
    sample = f"{sample_of(mass, EVALUATION)} a class, semantic flips; bars: 95 % over families"
    return entitle(figure, record, "Which tokens carry the deviation, and which the effect", sample)


def _bars(figure: go.Figure, frame: pd.DataFrame, name: str, colour: str, col: int) -> None:
    figure.add_bar(
        x=frame["value"],
        y=frame["kind"],
        error_x=error_bars(frame, INK),
        orientation="h",
        name=name,
        marker_color=colour,
        row=1,
        col=col,
    )


def _in_view(values: pd.Series) -> list[float]:
    """An axis that holds the values as far as they are shares or recoveries; wide intervals may leave it."""
    return [max(float(values.min()), -1.0) - 0.1, min(float(values.max()), 2.0) + 0.1]


def deviation_effect(record: RunRecord) -> go.Figure:
    """Every position's deviation against its causal effect, and joint patches by different guides."""
    points, rho = table(record, EffectPoint), table(record, DeviationEffect)
    guides = table(record, Guide)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.11, column_widths=[0.55, 0.45])
    figure.add_hline(y=0.0, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for kind in dict.fromkeys(points["token_kind"]):
        part = pick(points, token_kind=kind)
        figure.add_scatter(
            x=part["output"],
            y=part["recovery"],
            mode="markers",
            name=kind,
            marker={"size": 5, "opacity": 0.7, "color": KIND_COLOURS.get(kind, PURPLE)},
            customdata=part[["token", "instance", "position"]].map(lambda v: shown(str(v))),
            hovertemplate="'%{customdata[0]}' (%{customdata[1]}, position %{customdata[2]})<br>"
            "deviation %{x:.3f}<br>recovery %{y:.3f}<extra></extra>",
            legend="legend",
            row=1,
            col=1,
        )
    arms = (
        ("effect", "own effect (a ceiling)", GREEN, "solid"),
        ("output", "output deviation", VERMILLION, "solid"),
        ("v_cosine", "value deviation", ORANGE, "dash"),
        ("recency", "recency", BLUE, "dash"),
        ("random", "random", GREY, "dot"),
    )
    for guide, name, colour, dash in arms:
        part = pick(guides, guide=guide).sort_values("k")
        band(figure, part["k"].tolist(), part, Line(name, colour, dash), col=2)
        figure.data[-1].legend = "legend2"
    sizes = sorted({int(k) for k in guides["k"]})
    figure.update_xaxes(type="log", title=_OUTPUT, row=1, col=1)
    figure.update_xaxes(
        type="log",
        tickvals=sizes,
        ticktext=[str(k) for k in sizes],
        title="positions patched together, first by",
        row=1,
        col=2,
    )
    figure.update_yaxes(title="recovery of the position alone", row=1, col=1)
    figure.update_yaxes(title="recovery", row=1, col=2)
    small = {"orientation": "h", "font": {"size": 12}, "x": 0.0, "xanchor": "left", "borderwidth": 0}
    figure.update_layout(
        legend=small | {"y": -0.21, "yanchor": "top", "traceorder": "normal"},
        legend2=small | {"y": 1.02, "yanchor": "bottom"},
        margin={"t": 125, "b": 140},
        height=640,
    )
    figure.update_yaxes(range=_in_view(pd.Series(guides["value"])), row=1, col=2)
    found = pick(rho, measure="output", effect="recovery")
    mean = f"; rank correlation {found['value'].iloc[0]:.2f} an instance" if len(found) else ""
    sample = f"{sample_of(guides, EVALUATION)}{mean}; {INTERVALS}"
    return entitle(figure, record, "Deviation against causal effect, position by position", sample)
