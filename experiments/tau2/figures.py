"""Figures of the experiment on tau2-bench: what its environments accept, and what each arm costs."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from experiments.tau2.episodes import CHANGED, LOOKED_UP, UNCHANGED
from experiments.tau2.tables import ArmShare, Cost, EpisodeShare, Known, TurnShare
from pkv_interp.plots.curves import chance_line
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    INK,
    LEGEND_ABOVE,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
)
from pkv_interp.records import RunRecord

#: Name and colour of each arm, in order.
_ARMS = {
    "full": ("full re-prefill", INK),
    "prefix_cache": ("prefix cache", GREY),
    "erratum": ("erratum", GREEN),
    "field_only": ("field only", PURPLE),
    "field_erratum": ("field + erratum", BROWN),
    "field_last": ("field last", SKY),
    "unified": ("unified", BLUE),
    "stale": ("stale", VERMILLION),
}
_SPLIT = "held-out"


def _by_arm(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with a line an arm, by arm and in their order: those that were run."""
    arms = [arm for arm in _ARMS if arm in set(frame["arm"])]
    return frame.set_index("arm").loc[arms]


def _add_bars(figure: go.Figure, frame: pd.DataFrame, name: str, colour: str) -> None:
    """One bar an arm, with its interval."""
    part = _by_arm(frame)
    figure.add_bar(
        x=[_ARMS[arm][0] for arm in part.index],
        y=part["value"],
        error_y=error_bars(part, INK),
        name=name,
        marker_color=colour,
    )


def tau2_known(record: RunRecord) -> go.Figure:
    """How often a full prefill is right, over both states of a record and in both of them, by topic."""
    frame = table(record, Known)
    figure = go.Figure()
    for quantity, name, colour in (("either", "either state", GREY), ("both", "both states", BLUE)):
        part = pick(frame, quantity=quantity)
        figure.add_bar(
            x=part["sample"],
            y=part["value"],
            error_y=error_bars(part, INK),
            name=name,
            marker_color=colour,
        )
    chance_line(figure)
    figure.update_yaxes(title="share right, full prefill", range=[0, 1.05])
    figure.update_layout(barmode="group", margin={"b": 110})
    sample = f"{sample_of(frame, _SPLIT)} (decisions) at most; bars: 95 % over users"
    return entitle(figure, record, "Competence on tau2-bench by topic", sample)


def tau2_success(record: RunRecord) -> go.Figure:
    """Success by arm after a change: of all decisions, and of those right in both states."""
    frame = pick(table(record, ArmShare), part="decisions", quantity="success")
    figure = go.Figure()
    for sample, name, colour in (
        ("all", "all decisions", GREY),
        ("both_right", "right in both states with a full prefill (chosen after)", ORANGE),
    ):
        part = pick(frame, sample=sample)
        if len(part):
            _add_bars(figure, part, name, colour)
    figure.update_yaxes(title="share that the database accepts", range=[0, 1.05])
    figure.update_layout(
        barmode="group",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"},
        margin={"t": 120, "b": 130},
    )
    sample = f"{sample_of(frame, _SPLIT)} (decisions) at most; bars: 95 % over users"
    return entitle(figure, record, "Success after a change on tau2-bench", sample)


def tau2_cost(record: RunRecord) -> go.Figure:
    """By how many times each arm is cheaper than a full prefill, in tokens and in time."""
    frame = pick(table(record, Cost), part="decisions")
    figure = go.Figure()
    for what, name, colour in (("tokens", "tokens run", GREY), ("seconds", "time to first token", BLUE)):
        _add_bars(figure, pick(frame, what=what), name, colour)
    figure.update_yaxes(title="times cheaper than full", rangemode="tozero")
    figure.update_layout(barmode="group", margin={"b": 130})
    sample = f"{sample_of(frame, _SPLIT)} (decisions); bars: 95 % over users"
    return entitle(figure, record, "Cost of an answer after a change", sample)


def tau2_turns(record: RunRecord) -> go.Figure:
    """Success of a loop's requests by turn."""
    frame = table(record, TurnShare)
    figure = go.Figure()
    for arm in _by_arm(frame.drop_duplicates("arm")).index:
        name, colour = _ARMS[arm]
        part = pick(frame, arm=arm).sort_values("turn")
        figure.add_scatter(
            x=part["turn"],
            y=part["value"],
            error_y=error_bars(part, colour),
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 2},
        )
    figure.update_xaxes(title="turn", dtick=1)
    figure.update_yaxes(title="share that the database accepts", range=[-0.03, 1.05])
    sample = f"{sample_of(frame, _SPLIT)} a turn; bars: 95 % over users"
    return entitle(figure, record, "Success in loops by turn", sample)


def tau2_episodes(record: RunRecord) -> go.Figure:
    """Success of episodes by arm and course."""
    frame = pick(table(record, EpisodeShare), sample="all", quantity="success")
    figure = go.Figure()
    for course, name, colour in (
        (UNCHANGED, "nothing changed", GREY),
        (CHANGED, "state changed", BLUE),
        (LOOKED_UP, "state changed and looked up anew", GREEN),
    ):
        _add_bars(figure, pick(frame, course=course), name, colour)
    figure.update_yaxes(title="share that the database accepts", range=[0, 1.05])
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, margin={"t": 120, "b": 130})
    sample = f"{sample_of(frame, _SPLIT)} (episodes); bars: 95 % over users"
    return entitle(figure, record, "Episodes on one record of tau2-bench", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "known": tau2_known,
    "success": tau2_success,
    "cost": tau2_cost,
    "turns": tau2_turns,
    "episodes": tau2_episodes,
}
