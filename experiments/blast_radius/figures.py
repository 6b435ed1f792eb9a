"""Figures of the blast radius experiment: the map, shares above thresholds, growth."""

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.blast_radius.effect_figures import blast_kinds, deviation_effect
from experiments.blast_radius.looks import ABOVE, EVALUATION, classes_of
from experiments.blast_radius.tables import ByDepth, ByDistance, MapToken, Thresholds
from pkv_interp.plots.curves import INTERVALS, Line, band
from pkv_interp.plots.strip import mark_words
from pkv_interp.plots.tables import entitle, pick, sample_of, table
from pkv_interp.plots.words import shown
from pkv_interp.records import RunRecord

_PANELS = (("k", "keys, cosine distance"), ("v", "values, cosine distance"), ("output", "attention output"))
_RISING = [[0.0, "#FFFFFF"], [0.35, "#F7C9A0"], [0.7, "#D55E00"], [1.0, "#5C2400"]]


def blast_map(record: RunRecord) -> go.Figure:
    """Deviation per layer and token of one prompt, over its own words; kinds of spans are coloured below."""
    frame = table(record, MapToken).sort_values("position").reset_index(drop=True)
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
    frame = table(record, Thresholds)
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=["attention output", "keys or values, cosine distance"],
    )
    for col, measure in enumerate(("output", "kv_cosine"), start=1):
        for name, (label, colour) in classes_of(frame).items():
            for flip, dash in (("semantic", "solid"), ("minor", "dot")):
                part = pick(frame, field_class=name, measure=measure, flip=flip).sort_values("threshold")
                if part.empty:
                    continue
                band(
                    figure,
                    part["threshold"].tolist(),
                    part,
                    Line(f"{label}, {flip}", colour, dash),
                    col=col,
                )
                figure.data[-1].showlegend = col == 1
    ticks = sorted(set(frame["threshold"]))
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks], title="threshold")
    figure.update_yaxes(title="share of tokens after the field", row=1, col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(legend=ABOVE | {"entrywidth": 270, "y": 1.09}, margin={"t": 200}, height=570)
    sample = f"{sample_of(frame, EVALUATION)} a class and flip; {INTERVALS}"
    return entitle(figure, record, "How much of the prompt a field's change reaches", sample)


def blast_growth(record: RunRecord) -> go.Figure:
    """Deviation over the distance from the field and over depth, by class.

    Words of fillers are alike everywhere; a record of own pairs has none, so that all tokens are drawn.
    """
    every = table(record, ByDistance)
    fillers = pick(every, tokens="filler")
    distance = pick(every, tokens="all") if fillers.empty else fillers
    depth = pick(table(record, ByDepth), measure="output")
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    bins = sorted({int(start) for start in distance["start"]})
    for name, (label, colour) in classes_of(depth).items():
        near = pick(distance, field_class=name).sort_values("start")
        deep = pick(depth, field_class=name).sort_values("layer")
        band(figure, [bins.index(s) for s in near["start"]], near, Line(label, colour), col=1)
        band(figure, deep["layer"].tolist(), deep, Line(label, colour), col=2)
        figure.data[-1].showlegend = False
    figure.update_xaxes(
        tickvals=list(range(len(bins))),
        ticktext=[f"{start}+" for start in bins],
        title="tokens after the field" + (" (words of fillers)" if len(fillers) else ""),
        row=1,
        col=1,
    )
    n_layers = len(set(depth["layer"]))
    figure.update_xaxes(title="layer", dtick=1 if n_layers <= 10 else 5, row=1, col=2)
    figure.update_yaxes(title="attention-output deviation", rangemode="tozero")
    figure.update_yaxes(title="mean over tokens after the field", row=1, col=2)
    figure.update_layout(legend=ABOVE, margin={"t": 125})
    sample = f"{sample_of(depth, EVALUATION)} a class, semantic flips; {INTERVALS}"
    return entitle(figure, record, "Deviation by distance and by depth", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "map": blast_map,
    "shares": blast_shares,
    "growth": blast_growth,
    "token_kinds": blast_kinds,
    "deviation_effect": deviation_effect,
}
