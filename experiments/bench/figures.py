"""Figures of the benchmark: other libraries beside the engine, and how costs grow."""

import math
from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.bench.growth_report import ALL
from experiments.bench.peer_report import END_TO_END
from experiments.bench.tables import PeerRatio, PeerTime, StageCost, StageExponent
from pkv_interp.plots.tables import entitle, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW
from pkv_interp.records import RunRecord

_ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "font": {"size": 11}}
#: Routes in the order of the legend: over whole prompts solid, over a cached prefix hatched.
_ROUTES = {
    "transformer_lens": ("TransformerLens, whole prompts", BLUE, ""),
    "nnsight": ("nnsight, whole prompts", ORANGE, ""),
    "nnsight_invokes": ("nnsight invokes, whole prompts", GREEN, ""),
    "pyvene": ("pyvene, whole prompts", VERMILLION, ""),
    "transformer_lens_cached": ("TransformerLens over a cache", SKY, "/"),
    "nnsight_cached": ("nnsight over a cache", YELLOW, "/"),
    "nnsight_cached_invokes": ("nnsight invokes over a cache", PURPLE, "/"),
}
_WORKS = {
    "head_sweep": "heads at<br>the decision",
    "position_sweep": "KV by<br>position",
    "grid": "KV by layer<br>and position",
    "residual_grid": "residual by layer<br>and position",
    "attribution": "attribution<br>of heads",
    "integrated_attribution": "integrated<br>attribution",
}
_EXPERIMENTS = {"circuit": BLUE, "patching": VERMILLION, "editing": GREEN}


def peer_bars(record: RunRecord) -> go.Figure:
    """Time of every other library over the engine's, sweep by sweep, prefill included; log scale."""
    frame = pick(table(record, PeerRatio), ratio=END_TO_END)
    times = table(record, PeerTime)
    figure = go.Figure()
    for route, (name, colour, pattern) in _ROUTES.items():
        mine = pick(frame, route=route).set_index("work")
        if mine.empty:
            continue
        known = [work for work in _WORKS if work in mine.index]
        values, low, high = (mine.loc[known, column] for column in ("value", "ci_low", "ci_high"))
        error = None
        if high.notna().all():
            above, below = (high - values).tolist(), (values - low).tolist()
            error = {"array": above, "arrayminus": below, "color": GREY, "thickness": 1}
        figure.add_bar(
            x=[_WORKS[work] for work in known],
            y=values,
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern}},
            error_y=error,
            hovertemplate="%{y:.1f} times<extra>" + name + "</extra>",
        )
    figure.add_hline(y=1.0, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.update_xaxes(categoryorder="array", categoryarray=list(_WORKS.values()))
    # Bars have no foot here, and intervals of two repeats may reach anywhere: the values set the range.
    shown = frame["value"].tolist()
    ends = math.log10(0.6 * min(1.0, *shown)), math.log10(2.0 * max(shown))
    figure.update_yaxes(title="time over the engine's", type="log", dtick=1, range=ends)
    figure.update_layout(legend=_ABOVE, margin={"t": 175}, height=600, barmode="group")
    tokens, repeats = largest(times, "tokens"), largest(times, "repeat") + 1
    sample = f"{tokens} tokens, prefill included, samples scaled; bars: 95 % over {repeats} repeats"
    return entitle(figure, record, "The same numbers by other libraries", sample)


def growth_curves(record: RunRecord) -> go.Figure:
    """Time of the experiments' main stages by tokens, cases and shape, with their exponents; log scales."""
    frame, fits = table(record, StageCost), table(record, StageExponent)
    axes = list(dict.fromkeys(frame["axis"]))
    titles = [f"{axis}<br>exponents: {_exponents(fits, axis)}" for axis in axes]
    figure = make_subplots(rows=1, cols=len(axes), subplot_titles=titles, horizontal_spacing=0.06)
    for col, axis in enumerate(axes, start=1):
        for experiment, colour in _EXPERIMENTS.items():
            mine = pick(frame, axis=axis, experiment=experiment)
            for stage in dict.fromkeys(mine["stage"]):
                part = pick(mine, stage=stage)
                fit = pick(fits, axis=axis, experiment=experiment, stage=stage, cost="seconds")
                told = f" ({float(fit['value'].iloc[0]):.2f})" if len(fit) else ""
                whole = stage == ALL
                figure.add_scatter(
                    x=part["size"],
                    y=part["seconds"],
                    mode="lines+markers" if whole else "lines",
                    name=experiment,
                    legendgroup=experiment,
                    showlegend=whole and col == 1,
                    line={"color": colour, "width": 2.5 if whole else 1, "dash": "solid" if whole else "dot"},
                    marker={"size": 7},
                    hovertemplate=f"%{{y:.3f}} s<extra>{experiment} {stage}{told}</extra>",
                    row=1,
                    col=col,
                )
    figure.update_annotations(font_size=11)
    sizes = {axis: sorted(set(pick(frame, axis=axis)["size"])) for axis in axes}
    for col, axis in enumerate(axes, start=1):
        figure.update_xaxes(type="log", tickvals=sizes[axis], tickangle=-45, title=axis, col=col)
    figure.update_yaxes(type="log", dtick=1)
    figure.update_yaxes(title="seconds", col=1)
    figure.update_layout(legend={**_ABOVE, "y": 1.13}, margin={"t": 155, "b": 90}, height=560, width=1000)
    sample = "random models; solid: all stages that have every size, dotted: each stage"
    return entitle(figure, record, "How the cost of the main stages grows", sample)


def _exponents(fits: pd.DataFrame, axis: str) -> str:
    """Of all stages of each experiment, in words."""
    mine = pick(fits, axis=axis, stage=ALL, cost="seconds")
    found = zip(mine["experiment"], mine["value"], strict=True)
    return ", ".join(f"{experiment} {value:.2f}" for experiment, value in found)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"peers": peer_bars, "growth": growth_curves}
