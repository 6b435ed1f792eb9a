"""Figures of the experiment: where a memory stands, what an edit costs, blocks, and many turns."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.memory.tables import (
    BLOCKS,
    EDITS,
    PLACEMENT,
    TRANSPLANT,
    AgentLine,
    ArmLine,
    TurnLine,
)
from pkv_interp.plots.curves import chance_line
from pkv_interp.plots.tables import entitle, error_bars, estimates, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
_METHODS = {
    "stale": "not edited",
    "in_place": "the setting alone",
    "erratum": "erratum",
    "recompile": "memory run anew",
    "auto": "auto",
    "full": "everything prefilled",
}
_ARMS = {
    "full": ("everything prefilled", INK),
    "spliced": ("spliced and edited", BLUE),
    "prefix_cache_memory_last": ("prefix cache, memory last", ORANGE),
    "prefix_cache_memory_first": ("prefix cache, memory first", GREEN),
}


def _sample(frame: pd.DataFrame) -> str:
    personas = largest(frame, "n_families")
    return f"{largest(frame, 'n')} questions of {personas} personas; bars: 95 % over personas"


def _method(name: str) -> str:
    return _METHODS.get(name, f"{name.partition('@')[2]} tokens more")


def placement(record: RunRecord) -> go.Figure:
    """Accuracy of the full prefill by size, for each number of relevant settings, memory early and late.

    Dotted lines are answers at once, where the settings are read back first in the others.
    """
    frame = table(record, ArmLine)
    frame = frame.loc[frame["part"] == PLACEMENT]
    back = frame["condition"].str.endswith("read_back").any()
    lines = {"read_back": "solid", "direct": "dot"} if back else {"direct": "solid"}
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, subplot_titles=("memory first", "memory last"))
    for col, where in ((1, "early"), (2, "late")):
        for colour, relevant in zip(_COLOURS, sorted(set(frame["relevant"])), strict=False):
            for regime, dash in lines.items():
                part = pick(frame, condition=f"{where} {regime}", relevant=relevant).sort_values("size")
                found = estimates(part, "correct")
                name = f"{relevant} relevant" + (", at once" if back and regime == "direct" else "")
                figure.add_scatter(
                    x=part["size"],
                    y=found["value"],
                    error_y=error_bars(found, colour),
                    mode="lines+markers",
                    name=name,
                    legendgroup=name,
                    showlegend=col == 1,
                    line={"color": colour, "dash": dash},
                    row=1,
                    col=col,
                )
        sizes = sorted(set(frame["size"]))
        figure.update_xaxes(title="settings in the memory", type="log", tickvals=sizes, row=1, col=col)
    chance_line(figure)
    figure.update_yaxes(title="share of answers right", range=[0, 1.05], row=1, col=1)
    figure.update_layout(legend={**LEGEND_ABOVE, "y": 1.12}, margin={"t": 170})
    told = "Questions about a memory, all of it prefilled"
    return entitle(figure, record, told, _sample(frame), gated=True)


def editing(record: RunRecord) -> go.Figure:
    """Share of decisions that follow the new value by method, beside the tokens that the method runs."""
    frame = pick(table(record, ArmLine), part=EDITS, condition="relevant")
    figure = make_subplots(rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.12)
    for colour, relevant in zip(_COLOURS, sorted(set(frame["relevant"])), strict=False):
        part = pick(frame, relevant=relevant)
        found = estimates(part, "correct")
        told = "" if bool(part["competent"].all()) else " (not competent)"
        figure.add_bar(
            x=[_method(str(arm)) for arm in part["arm"]],
            y=found["value"],
            error_y=error_bars(found, INK),
            name=f"{relevant} relevant{told}",
            marker_color=colour,
            row=1,
            col=1,
        )
    first = pick(frame, relevant=min(frame["relevant"]))
    figure.add_bar(
        x=[_method(str(arm)) for arm in first["arm"]],
        y=first["tokens"] + 1,
        marker_color=GREY,
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_yaxes(title="right after the change", range=[0, 1.05], row=1, col=1)
    figure.update_yaxes(title="tokens run, plus one", type="log", row=1, col=2)
    figure.update_layout(
        barmode="group", legend=LEGEND_ABOVE, height=560, margin={"t": 150, "b": 130, "r": 70}
    )
    return entitle(figure, record, "One setting toggled in a spliced memory", _sample(frame), gated=True)


def blocks(record: RunRecord) -> go.Figure:
    """Distance from the full prefill and correctness by the number of blocks, beside the cost of an edit."""
    frame = table(record, ArmLine)
    frame = frame.loc[(frame["part"] == BLOCKS) & frame["arm"].str.startswith("blocks")]
    numbers = frame["arm"].str.removeprefix("blocks").astype(int)
    frame = frame.assign(blocks=numbers)
    figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.09)
    groups = sorted({(int(r), str(c)) for r, c in zip(frame["relevant"], frame["condition"], strict=True)})
    for colour, (relevant, where) in zip(_COLOURS, groups, strict=False):
        part = pick(frame, relevant=relevant, condition=where).sort_values("blocks")
        right = estimates(part, "correct")
        name = f"{relevant} relevant, {where}" if relevant > 1 else "1 relevant"
        for col, values, bars in ((1, right["value"], error_bars(right, colour)), (2, part["kl"], None)):
            figure.add_scatter(
                x=part["blocks"],
                y=values,
                error_y=bars,
                mode="lines+markers",
                name=name,
                legendgroup=name,
                showlegend=col == 1,
                line={"color": colour},
                row=1,
                col=col,
            )
    some = pick(frame, relevant=groups[0][0], condition=groups[0][1]).sort_values("blocks")
    figure.add_scatter(
        x=some["blocks"],
        y=some["tokens"],
        mode="lines+markers",
        line={"color": GREY},
        showlegend=False,
        row=1,
        col=3,
    )
    for col, title in (
        (1, "share of answers right"),
        (2, "KL from the prefill (nats)"),
        (3, "tokens of an exact edit"),
    ):
        figure.update_xaxes(title="blocks", type="log", tickvals=sorted(set(numbers)), row=1, col=col)
        figure.update_yaxes(title=title, rangemode="tozero", row=1, col=col)
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 150}, width=1100)
    return entitle(figure, record, "A memory made as blocks apart", _sample(frame), gated=True)


def splicing(record: RunRecord) -> go.Figure:
    """KL of a spliced memory from the full prefill, by seam, beside the splice whose keys were not turned."""
    frame = pick(table(record, ArmLine), part=TRANSPLANT)
    frame = frame.loc[frame["arm"] != "full"]
    figure = go.Figure()
    groups = sorted({(str(c), int(r)) for c, r in zip(frame["condition"], frame["relevant"], strict=True)})
    for colour, (where, relevant) in zip(_COLOURS, groups, strict=False):
        part = pick(frame, condition=where, relevant=relevant)
        figure.add_bar(
            x=[str(arm).replace("_", " ") for arm in part["arm"]],
            y=part["kl"],
            name=f"memory {where}, {relevant} relevant",
            marker_color=colour,
        )
    figure.update_yaxes(title="KL from the full prefill (nats)", type="log")
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, margin={"t": 150})
    return entitle(figure, record, "A memory spliced into a conversation", _sample(frame))


def agent(record: RunRecord) -> go.Figure:
    """Time to first token and tokens of a conversation, summed up to each turn, by how its cache is kept."""
    frame = table(record, TurnLine)
    lines = table(record, AgentLine)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    for arm, (name, colour) in _ARMS.items():
        part = pick(frame, arm=arm).sort_values("turn")
        for col, unit in ((1, "seconds"), (2, "tokens")):
            figure.add_scatter(
                x=part["turn"],
                y=part[unit],
                mode="lines+markers",
                name=name,
                legendgroup=arm,
                showlegend=col == 1,
                line={"color": colour},
                row=1,
                col=col,
            )
    figure.update_xaxes(title="turn", dtick=2)
    figure.update_yaxes(title="seconds to first token, summed", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title="tokens run, summed", rangemode="tozero", row=1, col=2)
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 150})
    rate = record.config.get("edit_rate")
    sample = f"means of {largest(lines, 'n_families')} conversations"
    if isinstance(rate, int | float):
        sample += f"; a setting changes before {rate:.0%} of the turns"
    return entitle(figure, record, "A memory that changes in a conversation", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "placement": placement,
    "splicing": splicing,
    "editing": editing,
    "blocks": blocks,
    "agent": agent,
}
