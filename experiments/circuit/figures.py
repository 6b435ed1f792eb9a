"""Figures of the circuit experiment."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.circuit.check_figures import attention_share, faithfulness_curve, screening_scatter
from experiments.circuit.tables import (
    ReadCurve,
    ReadHead,
    SiteLabel,
    TokenKind,
    WriteCurve,
    WriteHead,
    WriteSample,
)
from pkv_interp.plots.curves import INTERVALS, Line, Mark, band, goal_lines, points
from pkv_interp.plots.tables import (
    RECOVERY,
    entitle,
    error_bars,
    pick,
    sample_of,
    sample_of_split,
    table,
)
from pkv_interp.plots.theme import BLUE, DIVERGING, GREY, INK, ORANGE
from pkv_interp.plots.tokens import token_bars, token_text
from pkv_interp.records import RunRecord

_PANELS = (
    (ReadHead, "held_out", "read: output at the decision token, scored on held-out families"),
    (WriteHead, "joint", "write: output at all aggregators during prefill, on discovery families"),
)


_BAR_TITLE = {"text": "recovery", "font": {"size": 13}}


def grid(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """A table of heads as a grid: heads are the index, layers the columns."""
    return frame.pivot(index="head", columns="layer", values=value)


def head_heatmap(record: RunRecord, *, mark: int = 12) -> go.Figure:
    """Recovery when one head's output is patched: read heads above, write heads below, layer by head.

    Args:
        record: of the circuit experiment.
        mark: number of heads, ranked first on discovery families, that get a ring.
    """
    frames = [table(record, kind) for kind, _, _ in _PANELS]
    n_heads = int(frames[0]["head"].to_numpy().max()) + 1
    n_layers = int(frames[0]["layer"].to_numpy().max()) + 1
    cell = 18 if n_heads <= 16 else 11
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.13, subplot_titles=[p[2] for p in _PANELS]
    )
    for row, (frame, (_, value, _)) in enumerate(zip(frames, _PANELS, strict=True), start=1):
        cells = grid(frame, value)
        reach = max(float(np.nanmax(np.abs(cells.to_numpy()))), 1e-9)
        figure.add_heatmap(
            z=cells.to_numpy(),
            x=cells.columns,
            y=cells.index,
            colorscale=DIVERGING,
            zmin=-reach,
            zmax=reach,
            xgap=1,
            ygap=1,
            colorbar={"len": 0.46, "y": 0.785 if row == 1 else 0.215, "title": _BAR_TITLE, "thickness": 14},
            hovertemplate="layer %{x}, head %{y}<br>recovery %{z:.3f}<extra></extra>",
            row=row,
            col=1,
        )
        first = frame[frame["rank"] <= mark]
        figure.add_scatter(
            x=first["layer"],
            y=first["head"],
            mode="markers",
            marker={"symbol": "circle-open", "size": cell * 0.55, "color": INK, "line": {"width": 1.5}},
            name=f"first {mark} on discovery families",
            showlegend=row == 1,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    step = 1 if n_heads <= 16 else 4
    figure.update_yaxes(range=[n_heads - 0.5, -0.5], dtick=step, title="head", showgrid=False)
    figure.update_xaxes(dtick=1 if n_layers <= 20 else 2, showgrid=False, range=[-0.5, n_layers - 0.5])
    figure.update_xaxes(title="layer", row=2, col=1)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_layout(
        height=max(500, 2 * n_heads * cell + 190),
        margin={"t": 115},
        legend={"x": 1.0, "xanchor": "right", "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
    )
    held_out = sample_of_split(record, "held_out")
    discovery = sample_of(table(record, WriteSample), "discovery")
    return entitle(figure, record, "Recovery of single heads", f"read: {held_out}; write: {discovery}")


def read_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best read heads are patched together, against random heads of the same layers."""
    frame = table(record, ReadCurve).sort_values("k")
    figure = go.Figure()
    goal_lines(figure)
    for arm, name, colour, dash in (
        ("top", "k first on discovery families", BLUE, "solid"),
        ("random", "k random heads of the same layers", GREY, "dash"),
    ):
        part = pick(frame, arm=arm)
        band(figure, part["k"].tolist(), part, Line(name, colour, dash))
    figure.update_xaxes(title="read heads patched together (k)", tickvals=sorted(set(frame["k"])))
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.5})
    sample = f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "Read heads patched together at the decision token", sample)


def write_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best write heads are patched in prefill, beside random heads and all of a kind."""
    frame = table(record, WriteCurve)
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.76, 0.24], shared_yaxes=True, horizontal_spacing=0.02
    )
    places = (
        ("joint", "all aggregators", BLUE, "circle", -0.15),
        ("top", "top aggregator", ORANGE, "square", 0.15),
    )
    for where, label, colour, symbol, aside in places:
        here = pick(frame, where=where)
        top = pick(here, arm="top").sort_values("k")
        band(figure, top["k"].tolist(), top, Line(f"{label}: k first of discovery", colour), col=1)
        random = pick(here, arm="random")
        if len(random):
            beside = (random["k"] + aside).tolist()
            points(figure, beside, random, Mark(f"{label}: random heads", colour, f"{symbol}-open"), 1)
        every = pd.concat([pick(here, arm="all_heads"), pick(here, arm="all_mlps")])
        names = ["all heads", "all MLPs"]
        points(figure, names, every, Mark(label, colour, symbol, legend=False), 2)
    goal_lines(figure)
    ticks = sorted({int(k) for k in frame["k"].dropna()})
    figure.update_xaxes(title="write heads patched together (k)", tickvals=ticks, row=1, col=1)
    figure.update_xaxes(title="everything of a kind", range=[-0.6, 1.6], row=1, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 12},
            "entrywidth": 230,
            "borderwidth": 0,
        },
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, 'held-out')}; bands and bars: 95 % over families"
    return entitle(figure, record, "Write heads patched during prefill", sample)


def token_kinds(record: RunRecord) -> go.Figure:
    """Single-position recoveries summed by span kind, with their intervals."""
    frame = table(record, TokenKind).sort_values("value")
    names = [
        f"{kind} ({n:.3g} positions)"
        for kind, n in zip(frame["kind"], frame["positions_per_prompt"], strict=True)
    ]
    figure = go.Figure(
        go.Bar(x=frame["value"], y=names, orientation="h", error_x=error_bars(frame, INK), marker_color=BLUE)
    )
    figure.update_xaxes(title=f"sum of single-position {RECOVERY}", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="span kind", title_standoff=14, automargin=True)
    sample = f"{sample_of(frame, 'held-out')}; bars: 95 % over families"
    return entitle(figure, record, "Where the notes lie: recovery by span kind", sample)


def site_bars(record: RunRecord, *, most: int = 16) -> go.Figure:
    """Position labels ranked on discovery families beside their held-out recovery; aggregators are named."""
    frame = table(record, SiteLabel).head(most).iloc[::-1]
    names = [f"<b>{s}</b> *" if a else s for s, a in zip(frame["label"], frame["aggregator"], strict=True)]
    figure = go.Figure()
    for split, name, colour in (
        ("held_out", "held-out", BLUE),
        ("discovery", "discovery (ranked on)", ORANGE),
    ):
        figure.add_bar(x=frame[split], y=names, orientation="h", name=name, marker_color=colour)
    figure.update_xaxes(title=f"single-position {RECOVERY}", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="position label (* = aggregator)", title_standoff=14, automargin=True)
    figure.update_layout(legend={"traceorder": "reversed", "x": 0.99, "xanchor": "right", "y": 0.02},
                         bargap=0.25, height=max(500, 22 * len(frame) + 170))  # fmt: skip
    sample = "; ".join(str(sample_of_split(record, split)) for split in ("discovery", "held_out"))
    return entitle(figure, record, "Aggregators: recovery by position label", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "heads": head_heatmap,
    "read_curve": read_curve,
    "write_curve": write_curve,
    "token_text": token_text,
    "token_bars": token_bars,
    "token_kinds": token_kinds,
    "sites": site_bars,
    "attention_share": attention_share,
    "faithfulness": faithfulness_curve,
    "screening": screening_scatter,
}
