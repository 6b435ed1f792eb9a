"""Figures of the keystone experiment."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from experiments.keystone.tables import MethodLine
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, estimates, largest, table
from pkv_interp.plots.theme import BLUE, GREY, INK, LEGEND_ABOVE, ORANGE
from pkv_interp.records import RunRecord


def keystone_bars(record: RunRecord) -> go.Figure:
    """Recovery of every editing method on a recomputed and on a composed cache."""
    frame = table(record, MethodLine).iloc[::-1]
    figure = go.Figure()
    for level in (0.0, 1.0):
        figure.add_vline(x=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for cache, name, colour in (
        ("composed", "composed: transplanted chunk", ORANGE),
        ("recomputed", "recomputed: full prefill", BLUE),
    ):
        there = frame[frame[cache].notna()]  # a method that prefills anew composes nothing
        part = estimates(pd.DataFrame(there), cache)
        figure.add_bar(
            x=part["value"],
            y=there["method"],
            error_x=error_bars(part, INK),
            orientation="h",
            name=name,
            marker_color=colour,
        )
    excluded = {cache: largest(frame, f"{cache}_excluded") for cache in ("recomputed", "composed")}
    figure.update_xaxes(title=RECOVERY.replace("corrupt", "old value").replace("clean", "new value"))
    figure.update_yaxes(
        title="editing method",
        automargin=True,
        categoryorder="array",
        categoryarray=frame["method"].tolist(),
    )
    figure.update_layout(
        barmode="group", height=620, legend={**LEGEND_ABOVE, "traceorder": "reversed"}, margin={"t": 125}
    )
    sample = (
        f"{largest(frame, 'n_families')} families, {largest(frame, 'n')} edits, left out under the noise "
        f"floor: {excluded['recomputed']} and {excluded['composed']}; bars: 95 % over families"
    )
    return entitle(figure, record, "Editing a field inside a transplanted chunk", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"methods": keystone_bars}
