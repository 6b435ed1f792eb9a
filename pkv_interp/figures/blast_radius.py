"""What a field's change does to the cache: the map, shares above thresholds, growth, kinds, causal effect."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.figures.curves import band
from pkv_interp.plots.strip import mark_words
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.plots.words import KIND_COLOURS, shown
from pkv_interp.records import RunRecord

_CLASSES = {
    "low": ("low: nothing depends on it", GREY),
    "medium": ("medium: one soft rule", ORANGE),
    "high": ("high: a rule decides on it", BLUE),
}
_PANELS = (("k", "keys, cosine distance"), ("v", "values, cosine distance"), ("output", "attention output"))
_RISING = [[0.0, "#FFFFFF"], [0.35, "#F7C9A0"], [0.7, "#D55E00"], [1.0, "#5C2400"]]
_ALL = "evaluation"  # families of both splits: nothing is ranked
_OUTPUT = "attention-output deviation (largest over layers)"
_BANDS = "bands: 95 % over families"
_ABOVE = {"orientation": "h", "y": 1.06, "yanchor": "bottom", "x": 0, "font": {"size": 12}}


def blast_map(record: RunRecord) -> go.Figure:
    """Deviation per layer and token of one prompt, over its own words; kinds of spans are coloured below."""
    frame = table(record, "map").sort_values("position").reset_index(drop=True)
    after = int(np.flatnonzero(frame["changed"].to_numpy(bool)).max()) + 1
    words, x = [shown(word) for word in frame["token"]], list(range(len(frame)))
    figure = make_subplots(
        rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.06, subplot_titles=[name for _, name in _PANELS]
    )
    for row, (name, title) in enumerate(_PANELS, start=1):
        cells = np.array(frame[name].tolist(), float).T
        figure.add_heatmap(
            z=cells,
            x=x,
            customdata=np.tile(np.array(words, dtype=object), (len(cells), 1)),
            colorscale=_RISING,
            zmin=0.0,
            # The field's own columns are far above the rest: they saturate instead of hiding it.
            zmax=max(float(np.quantile(cells[:, after:], 0.99)), 1e-9),
            colorbar={"len": 0.28, "y": (0.86, 0.5, 0.14)[row - 1], "thickness": 14},
            hovertemplate="layer %{y}, '%{customdata}'<br>" + title + " %{z:.4f}<extra></extra>",
            row=row,
            col=1,
        )
        figure.update_yaxes(title="layer", showgrid=False, row=row, col=1)
    mark_words(figure, frame["token"].tolist(), frame["kind"].tolist(), panel=3)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_layout(
        height=860, margin={"b": 170}, legend={"orientation": "h", "y": -0.17, "yanchor": "top", "x": 0}
    )
    change = f"{frame['old'][0]} → {frame['new'][0]}"
    example = f"one prompt ({frame['instance'][0]}, field {change}); exactly 0 before the field"
    return entitle(figure, record, "Blast radius of one field, layer by token", example)


def blast_shares(record: RunRecord) -> go.Figure:
    """Share of the tokens after the field that deviate by more than a threshold, by class and flip."""
    frame = table(record, "thresholds")
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=["attention output", "keys or values, cosine distance"],
    )
    for col, measure in enumerate(("output", "kv_cosine"), start=1):
        for name, (label, colour) in _CLASSES.items():
            for flip, dash in (("semantic", "solid"), ("minor", "dot")):
                part = pick(frame, field_class=name, measure=measure, flip=flip).sort_values("threshold")
                band(
                    figure,
                    part["threshold"].tolist(),
                    part,
                    name=f"{label}, {flip}",
                    colour=colour,
                    dash=dash,
                    col=col,
                )
                figure.data[-1].showlegend = col == 1
    ticks = sorted(set(frame["threshold"]))
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks], title="threshold")
    figure.update_yaxes(title="share of tokens after the field", row=1, col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(legend=_ABOVE | {"entrywidth": 270, "y": 1.09}, margin={"t": 200}, height=570)
    sample = f"{sample_of(frame, _ALL)} a class and flip; {_BANDS}"
    return entitle(figure, record, "How much of the prompt a field's change reaches", sample)


def blast_growth(record: RunRecord) -> go.Figure:
    """Deviation over the distance from the field (words of fillers) and over depth, by class."""
    distance = pick(table(record, "by_distance"), tokens="filler")
    depth = pick(table(record, "by_depth"), measure="output")
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    bins = sorted({int(start) for start in distance["start"]})
    for name, (label, colour) in _CLASSES.items():
        near = pick(distance, field_class=name).sort_values("start")
        deep = pick(depth, field_class=name).sort_values("layer")
        band(figure, [bins.index(s) for s in near["start"]], near, name=label, colour=colour, col=1)
        band(figure, deep["layer"].tolist(), deep, name=label, colour=colour, col=2)
        figure.data[-1].showlegend = False
    figure.update_xaxes(
        tickvals=list(range(len(bins))),
        ticktext=[f"{start}+" for start in bins],
        title="tokens after the field (words of fillers)",
        row=1,
        col=1,
    )
    n_layers = len(set(depth["layer"]))
    figure.update_xaxes(title="layer", dtick=1 if n_layers <= 10 else 5, row=1, col=2)
    figure.update_yaxes(title="attention-output deviation", rangemode="tozero")
    figure.update_yaxes(title="mean over tokens after the field", row=1, col=2)
    figure.update_layout(legend=_ABOVE, margin={"t": 125})
    sample = f"{sample_of(depth, _ALL)} a class, semantic flips; {_BANDS}"
    return entitle(figure, record, "Deviation by distance and by depth", sample)


def blast_kinds(record: RunRecord) -> go.Figure:
    """Deviation per token by kind and class; beside it each kind's share of the deviation and effect."""
    frame, effect = table(record, "by_kind"), table(record, "effect_kinds")
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=["mean per token", "share of the whole, class high"],
    )
    mass = pick(frame, field_class="high", quantity="deviation_mass").sort_values("value")
    order = mass["kind"].tolist()
    for name, (label, colour) in _CLASSES.items():
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
        legend=_ABOVE | {"traceorder": "normal", "entrywidth": 260, "y": 1.05},
        margin={"t": 195},
    )
    figure.update_annotations(font_size=13)
    shown_values = pd.concat([mass["value"], effect["value"]])
    figure.update_xaxes(range=_in_view(pd.Series(shown_values)), row=1, col=2)
    sample = f"{sample_of(mass, _ALL)} a class, semantic flips; bars: 95 % over families"
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
    points, rho = table(record, "effect_points"), table(record, "deviation_effect")
    guides = table(record, "guides")
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
        band(figure, part["k"].tolist(), part, name=name, colour=colour, dash=dash, col=2)
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
    sample = f"{sample_of(guides, _ALL)}{mean}; {_BANDS}"
    return entitle(figure, record, "Deviation against causal effect, position by position", sample)
