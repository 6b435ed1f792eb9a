"""Figures of the agent: what its tools accept, turn by turn, and what each way to keep its cache costs."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.agent.tables import ArmPair, Cost, LayoutShare, PhaseShare, TurnShare
from pkv_interp.plots.curves import Line, band, chance_line
from pkv_interp.plots.tables import entitle, error_bars, estimates, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

#: A legend above the panel.
_ABOVE: dict[str, Any] = {
    "orientation": "h",
    "x": 0,
    "y": 1.02,
    "yanchor": "bottom",
    "entrywidth": 255,
    "font": {"size": 12},
}
#: Name, colour and dash of each arm, in the order of the legend.
_ARMS = {
    "full": ("full re-prefill", INK, "solid"),
    "prefix_cache": ("prefix cache", GREY, "dot"),
    "unified": ("composed, field and erratum", BLUE, "solid"),
    "field_erratum": ("field and erratum", SKY, "dash"),
    "erratum_only": ("erratum only", GREEN, "dash"),
    "field_only": ("field only", PURPLE, "dot"),
    "compose_only": ("composed only", ORANGE, "dash"),
    "stale": ("stale", VERMILLION, "dot"),
}
#: Which turns each phase of a comparison has.
_PHASES = {"all": "all turns", "changed": "value changed"}
_SPLIT = "held-out"


def agent_success(record: RunRecord) -> go.Figure:
    """Share of actions that the tools accept, by turn and arm."""
    frame = pick(table(record, TurnShare), quantity="success")
    figure = go.Figure()
    chance_line(figure)
    for arm, (name, colour, dash) in _ARMS.items():
        if arm != "prefix_cache":  # decides as the full arm does; a control says so
            part = pick(frame, arm=arm).sort_values("turn")
            figure.add_scatter(
                x=part["turn"],
                y=part["value"],
                error_y=error_bars(part, colour),
                mode="lines+markers",
                name=name,
                line={"color": colour, "width": 2.5, "dash": dash},
                marker={"size": 7},
                hovertemplate="%{y:.3f}<extra>" + name + "</extra>",
            )
    figure.update_xaxes(title="turn (the state changes at 2, 3 or 4)", dtick=1)
    figure.update_yaxes(title="share of actions accepted", range=[-0.03, 1.05])
    figure.update_layout(legend=_ABOVE, margin={"t": 185}, height=560)
    sample = f"{sample_of(frame, _SPLIT)} a turn; bars: 95 % over families"
    return entitle(figure, record, "What the tools accept, by turn", sample)


def agent_phases(record: RunRecord) -> go.Figure:
    """Success and agreement with full re-prefill, at all turns and where the first value holds no more."""
    frame = table(record, PhaseShare)
    figure = go.Figure()
    names = [name for name, _, _ in _ARMS.values()]
    for quantity, phase, name, colour in (
        ("success", "all", "success, all turns", GREY),
        ("success", "changed", "success, value changed", BLUE),
        ("agreement", "changed", "agreement with full at equal history, value changed", ORANGE),
    ):
        part = pick(frame, quantity=quantity, phase=phase).set_index("arm").loc[list(_ARMS)]
        figure.add_bar(
            x=names,
            y=part["value"],
            error_y=error_bars(part, INK),
            name=name,
            marker_color=colour,
        )
    figure.update_yaxes(title="share of turns", range=[0, 1.05])
    legend = _ABOVE | {"entrywidth": 330}
    figure.update_layout(barmode="group", legend=legend, margin={"t": 130, "b": 150}, height=600)
    sample = f"{sample_of(frame, _SPLIT)} (turns); bars: 95 % over families"
    return entitle(figure, record, "Success and agreement by arm", sample)


def agent_layouts(record: RunRecord) -> go.Figure:
    """Success where the first value holds no more, with the state after the policy and before it."""
    frame = pick(table(record, LayoutShare), quantity="success", phase="changed")
    figure = go.Figure()
    for layout, colour in zip(dict.fromkeys(frame["layout"]), (BLUE, ORANGE), strict=False):
        part = pick(frame, layout=layout).set_index("arm").loc[list(_ARMS)]
        figure.add_bar(
            x=[name for name, _, _ in _ARMS.values()],
            y=part["value"],
            error_y=error_bars(part, INK),
            name=layout,
            marker_color=colour,
        )
    figure.update_yaxes(title="share of actions accepted", range=[0, 1.05])
    figure.update_layout(barmode="group", legend=_ABOVE, margin={"t": 120, "b": 130}, height=540)
    sample = f"{sample_of(frame, _SPLIT)} (turns); bars: 95 % over families"
    return entitle(figure, record, "Success after a change, by where the state stands", sample)


def agent_cost(record: RunRecord) -> go.Figure:
    """Time to the first token of each turn, summed over the turns so far."""
    frame = table(record, Cost)
    figure = go.Figure()
    for arm, (name, colour, dash) in _ARMS.items():
        part = pick(frame, arm=arm).sort_values("turn")
        band(figure, part["turn"].tolist(), part, Line(name, colour, dash))
    figure.update_xaxes(title="turn", dtick=1)
    figure.update_yaxes(title="time to first token so far (ms)", rangemode="tozero")
    figure.update_layout(legend=_ABOVE, margin={"t": 210}, height=560)
    sample = f"{sample_of(frame, _SPLIT)}; bands: 95 % over families"
    return entitle(figure, record, "Cumulative time to first token", sample)


def agent_trade(record: RunRecord) -> go.Figure:
    """Success of each arm less that of a prefix cache, over its speed-up, by layout and phase."""
    frame = pick(table(record, ArmPair), second="prefix_cache")
    layouts, phases = list(dict.fromkeys(frame["layout"])), list(dict.fromkeys(frame["phase"]))
    figure = make_subplots(
        rows=len(phases),
        cols=len(layouts),
        shared_xaxes=True,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        vertical_spacing=0.06,
        column_titles=layouts,
    )
    for row, phase in enumerate(phases, start=1):
        for col, layout in enumerate(layouts, start=1):
            here = pick(frame, layout=layout, phase=phase)
            for arm in here["first"]:
                name, colour, _ = _ARMS[arm]
                part = pick(here, first=arm)
                times = estimates(part, "seconds_ratio")
                figure.add_scatter(
                    x=times["value"],
                    y=part["value"],
                    error_x=error_bars(times, colour),
                    error_y=error_bars(part, colour),
                    mode="markers",
                    name=name,
                    legendgroup=arm,
                    showlegend=(row, col) == (1, 1),
                    marker={"color": colour, "size": 9},
                    hovertemplate="%{x:.2f} times as fast, success %{y:+.3f}<extra>" + name + "</extra>",
                    row=row,
                    col=col,
                )
        figure.update_yaxes(title=f"difference in success<br>({_PHASES[phase]})", row=row, col=1)
    cache: dict[str, Any] = {"line": {"color": GREY, "width": 1, "dash": "dot"}, "layer": "below"}
    figure.add_hline(y=0, **cache)
    figure.add_vline(x=1, **cache)
    figure.update_yaxes(matches="y")
    figure.update_xaxes(matches="x")
    figure.update_xaxes(title="times as fast as the prefix cache", row=len(phases))
    figure.update_annotations(font_size=13)
    legend = _ABOVE | {"y": 1.06, "entrywidth": 205}
    figure.update_layout(legend=legend, margin={"t": 185, "l": 95}, height=750)
    sample = f"{sample_of(frame, _SPLIT)} (turns) at most; bars: 95 % over families"
    return entitle(figure, record, "Success and speed of each arm against a prefix cache", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "success": agent_success,
    "phases": agent_phases,
    "layouts": agent_layouts,
    "cost": agent_cost,
    "trade": agent_trade,
}
