"""Figures of the serving experiment: time to first token under load, capacity by arm, updates by length."""

from collections.abc import Callable, Mapping
from itertools import cycle

import plotly.graph_objects as go

from experiments.serving.tables import ArmLine, LoadLine, UpdateLine
from pkv_interp.plots.tables import entitle, error_bars, estimates, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

#: Name and colour of the arms that every run has; edits that are injected take the other colours in turn.
_ARMS = {
    "full": ("full re-prefill", INK),
    "erratum": ("erratum", BLUE),
    "field_last": ("field last", GREEN),
    "stale": ("stale", GREY),
    "splice": ("injected splice", PURPLE),
}
_OTHERS = (ORANGE, VERMILLION, SKY)


def _look(names: list[str]) -> dict[str, tuple[str, str]]:
    injected = [name for name in names if name not in _ARMS]
    return _ARMS | {
        name: (f"injected {name}", _OTHERS[at % len(_OTHERS)]) for at, name in enumerate(injected)
    }


def first_token_by_load(record: RunRecord) -> go.Figure:
    """90th percentile of the time to first token by load, up to capacity; above it the queue decides."""
    frame = pick(table(record, LoadLine), above_capacity=False).iloc[::-1]
    look = _look(list(dict.fromkeys(frame["arm"][::-1])))
    figure = go.Figure()
    loads = sorted(set(frame["load"]))
    for load, colour in zip(loads, cycle((SKY, BLUE, INK)), strict=False):
        part = pick(frame, load=load)
        figure.add_scatter(
            x=part["p90"],
            y=[look[arm][0] for arm in part["arm"]],
            error_x=error_bars(estimates(part, "p90"), colour),
            mode="markers",
            orientation="h",
            name=f"{load:g} of capacity",
            marker={"color": colour, "size": 9},
        )
    figure.update_xaxes(title="seconds to first token, 90th percentile", type="log", dtick="D2")
    figure.update_yaxes(automargin=True)
    figure.update_layout(scattermode="group", legend=LEGEND_ABOVE, margin={"t": 125}, height=560)
    sample = f"{largest(frame, 'runs')} runs, {largest(frame, 'n')} requests a point; bars: 95 % over runs"
    return entitle(figure, record, "Time to first token, by share of each arm's own capacity", sample)


def capacity_and_right(record: RunRecord) -> go.Figure:
    """Answers a second by arm, and how many of them are right: a fast wrong answer is a wrong answer."""
    frame = table(record, ArmLine).iloc[::-1]
    look = _look(list(frame["arm"]))
    names = [look[arm][0] for arm in frame["arm"]]
    figure = go.Figure()
    part = estimates(frame, "capacity")
    figure.add_bar(
        x=part["value"],
        y=names,
        error_x=error_bars(part, INK),
        orientation="h",
        name="answers",
        marker_color=SKY,
    )
    figure.add_bar(
        x=frame["right_per_second"], y=names, orientation="h", name="right answers", marker_color=BLUE
    )
    figure.update_xaxes(title="a second, as fast as they are answered")
    figure.update_yaxes(automargin=True)
    figure.update_layout(
        barmode="group", legend={**LEGEND_ABOVE, "traceorder": "reversed"}, margin={"t": 125}, height=540
    )
    sample = f"{largest(frame, 'runs')} runs; bars: 95 % over runs"
    return entitle(figure, record, "Capacity by arm", sample)


def update_by_length(record: RunRecord) -> go.Figure:
    """Seconds from a change to the first token, by the length of the prompt."""
    frame = table(record, UpdateLine)
    look = _look(list(dict.fromkeys(frame["method"])))
    figure = go.Figure()
    for method in dict.fromkeys(frame["method"]):
        part = pick(frame, method=method)
        figure.add_scatter(
            x=part["tokens"],
            y=part["total_ms"] / 1000,
            mode="lines+markers",
            name=look[method][0],
            line={"color": look[method][1]},
        )
    lengths = sorted(set(frame["tokens"].round().astype(int)))
    figure.update_xaxes(title="tokens of the prompt", type="log", tickvals=lengths)
    figure.update_yaxes(title="seconds from the change to the first token", type="log", dtick="D2")
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 150}, height=560)
    sample = f"prompts a length: {largest(frame, 'n')}; editing and writing the cache included"
    return entitle(figure, record, "One update through the engine", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "first_token": first_token_by_load,
    "capacity": capacity_and_right,
    "updates": update_by_length,
}
