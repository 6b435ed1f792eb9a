"""Figures of the patching experiment: states, growing sets, knockouts, doses; places are drawn apart."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.patching.figures_paths import path_bars, place_points
from experiments.patching.figures_places import (
    SCORED,
    grid_heatmap,
    layer_curves,
    position_bars,
    region_bars,
)
from experiments.patching.tables import DoseResponse, KCurve, KnockoutShare, KnockoutSpan, ShareCurve, States
from pkv_interp.plots.curves import INTERVALS, Line, band, goal_lines
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.plots.tokens import token_text
from pkv_interp.records import RunRecord

_STATES = {
    "stale": "stale",
    "field_only": "field only",
    "change_only": "change only",
    "notes_only": "notes only",
    "full_downstream": "field and notes",
    "oracle": "oracle",
}
_RETAINED = "share of the gap between clean and stale left"


def state_bars(record: RunRecord) -> go.Figure:
    """Recovery of the margin in each cache state, and how often the new value's action is chosen."""
    frame = table(record, States)
    names = [_STATES.get(arm, arm) for arm in frame["arm"]]
    figure = go.Figure()
    goal_lines(figure)
    figure.add_bar(
        x=names,
        y=frame["value"],
        error_y=error_bars(frame, INK),
        name="recovery of the margin",
        marker_color=BLUE,
    )
    rate = pd.DataFrame({end: frame[f"decides_new_{end}"] for end in ("ci_low", "ci_high")})
    rate["value"] = frame["decides_new"]
    figure.add_bar(
        x=names,
        y=rate["value"],
        error_y=error_bars(rate, INK),
        name="share that takes the new value's action",
        marker_color=ORANGE,
    )
    figure.update_xaxes(title="what the decision reads of the new value's cache")
    figure.update_yaxes(title=f"{RECOVERY}, or share")
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, margin={"t": 125})
    sample = f"{sample_of(frame, SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Decision recovery by cache state", sample)


def position_curves(record: RunRecord) -> go.Figure:
    """Growing sets of note positions: by rank against matched random sets, and from either end."""
    frame, ends = table(record, KCurve), table(record, ShareCurve)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    goal_lines(figure)
    arms = (
        ("top", "by rank", BLUE, "solid"),
        ("random_region", "random, same region", GREY, "dash"),
        ("random_token_kind", "random, same token kind", PURPLE, "dot"),
    )
    for arm, name, colour, dash in arms:
        part = pick(frame, curve=arm).sort_values("k")
        band(figure, part["k"].tolist(), part, Line(name, colour, dash), col=1)
    for side, name, colour in (("suffix", "last part", GREEN), ("prefix", "first part", ORANGE)):
        part = pick(ends, curve=side).sort_values("share")
        band(figure, part["share"].tolist(), part, Line(name, colour), col=2)
    sizes = sorted({int(k) for k in frame["k"]})
    figure.update_xaxes(
        type="log",
        tickvals=sizes,
        ticktext=[str(k) for k in sizes],
        title="positions patched (k)",
        row=1,
        col=1,
    )
    figure.update_xaxes(title="share of the notes patched", tickformat=".0%", row=1, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, SCORED)}; {INTERVALS}"
    return entitle(figure, record, "How many note positions carry the decision", sample)


def knockout_curves(record: RunRecord) -> go.Figure:
    """What hiding positions from the decision leaves: growing shares of the notes, and whole spans."""
    frame, spans = table(record, KnockoutShare), table(record, KnockoutSpan)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.24, column_widths=[0.55, 0.45])
    arms = (
        ("effect", "largest effect first", BLUE, "solid"),
        ("attention", "most attended first", VERMILLION, "dash"),
        ("random", "at random", GREY, "dot"),
    )
    for arm, name, colour, dash in arms:
        part = pick(frame, knockout=arm).sort_values("share")
        band(figure, part["share"].tolist(), part, Line(name, colour, dash), col=1)
    kept = spans.iloc[::-1]
    figure.add_bar(
        x=kept["value"],
        y=kept["knockout"],
        error_x=error_bars(kept, INK),
        orientation="h",
        marker_color=SKY,
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_xaxes(title="share of the notes hidden", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title="gap left, whole span hidden", zeroline=True, zerolinecolor=GREY, row=1, col=2)
    figure.update_yaxes(title=_RETAINED, row=1, col=1)
    figure.update_yaxes(automargin=True, tickfont={"size": 11}, row=1, col=2)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, SCORED)}; bands and bars: 95 % over families"
    return entitle(figure, record, "Attention knockout from the decision", sample)


def dose_curves(record: RunRecord) -> go.Figure:
    """Recovery of field-only and notes-only as fillers and statements of the rule grow."""
    frame = table(record, DoseResponse)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    goal_lines(figure)
    panels = (("fillers", "neutral sentences in the prompt"), ("rules", "statements of the rule"))
    for col, (what, title) in enumerate(panels, start=1):
        for arm, colour, dash in (("notes_only", BLUE, "solid"), ("field_only", GREEN, "dash")):
            part = pick(frame, what=what, arm=arm).sort_values("amount")
            name = _STATES[arm]
            band(figure, part["amount"].tolist(), part, Line(name, colour, dash), col=col)
        figure.update_xaxes(
            title=title, tickvals=sorted(set(pick(frame, what=what)["amount"])), row=1, col=col
        )
    figure.update_traces(showlegend=False, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(legend={"x": 0.01, "y": 0.5})
    sample = f"{sample_of(frame, SCORED)}; {INTERVALS}"
    return entitle(figure, record, "Dose and response: length of the prompt, repetition of the rule", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "states": state_bars,
    "positions": position_bars,
    "position_curves": position_curves,
    "layers": layer_curves,
    "regions": region_bars,
    "token_text": token_text,
    "grid": grid_heatmap,
    "knockouts": knockout_curves,
    "paths": path_bars,
    "dose": dose_curves,
    "places": place_points,
}
