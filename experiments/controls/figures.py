"""Figures of the controls experiment: when conclusions are written, and which positions carry them."""

from collections.abc import Callable, Mapping
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.controls.tables import LensLayer, ProbeLayer, Specificity, Timing
from pkv_interp.plots.curves import INTERVALS, Line, band, goal_lines
from pkv_interp.plots.tables import RECOVERY, entitle, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, ORANGE, VERMILLION
from pkv_interp.records import RunRecord

_ABOVE: dict[str, Any] = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
#: Curves of the timing figure: panel, row class, column, name, colour, dash.
_TIMING = (
    (1, ProbeLayer, "conclusion", "probe at aggregators: conclusion, unseen families", BLUE, "solid"),
    (1, ProbeLayer, "shuffled", "the same, labels shuffled", GREY, "dot"),
    (1, LensLayer, "agrees", "lens at the decision: agrees with the answer", VERMILLION, "solid"),
    (2, ProbeLayer, "conclusion_inside", "probe at aggregators: conclusion, inside a family", GREEN, "dash"),
    (2, ProbeLayer, "field", "probe at aggregators: field, inside a family", ORANGE, "dash"),
)
_PANELS = ["across families", "inside a family"]


def timing_curves(record: RunRecord) -> go.Figure:
    """Accuracy of probes at aggregators and of the logit lens at the decision, by layer.

    Upright lines stand at the first layer from which the conclusion counts as written, and at the mean one
    from which the lens keeps the answers to both sides.
    """
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=_PANELS)
    for col, kind, column, label, colour, dash in _TIMING:
        frame = table(record, kind).sort_values("layer")
        band(
            figure,
            frame["layer"].tolist(),
            frame,
            Line(label, colour, dash),
            prefix=f"{column}_",
            col=col,
        )
    # After the curves: plotly draws no line in a panel that has none.
    chance = {"y": 0.5, "line": {"color": GREY, "width": 1, "dash": "dot"}, "row": 1}
    figure.add_hline(**chance, col=1)  # type: ignore[arg-type]
    named = {"annotation_text": "chance", "annotation_position": "bottom left"}
    figure.add_hline(**chance, **named, col=2)  # type: ignore[arg-type]
    depths = table(record, Timing).iloc[0]
    n_layers = max(table(record, LensLayer)["layer"].tolist())
    for column, text, colour, side in (
        ("write_depth", "written", BLUE, "bottom left"),
        ("commit_depth", "committed", VERMILLION, "bottom left"),
    ):
        if depths[column] is not None and depths[column] == depths[column]:  # neither missing nor NaN
            figure.add_vline(
                x=float(depths[column]) * n_layers,
                line={"color": colour, "width": 1.5, "dash": "dash"},
                annotation={"text": text, "font": {"color": colour}},
                annotation_position=side,
                row=1,  # type: ignore[arg-type]
                col=1,  # type: ignore[arg-type]
            )
    figure.update_xaxes(title="residual stream after layer")
    figure.update_yaxes(range=[0.3, 1.03])
    figure.update_yaxes(title="share right", col=1)
    figure.update_layout(
        legend=_ABOVE | {"y": 1.07, "entrywidth": 345, "font": {"size": 11}}, margin={"t": 190}, height=620
    )
    sample = f"{sample_of(table(record, Specificity), 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "When the conclusion is written, and when the decision commits", sample)


def specificity_curves(record: RunRecord) -> go.Figure:
    """Recovery of the k best positions against random sets, matched where possible."""
    frame = table(record, Specificity).sort_values("k")
    figure = go.Figure()
    goal_lines(figure)
    for arm, name, colour, dash in (
        ("top", "k first on discovery families", BLUE, "solid"),
        ("random", "k random, matched by region and class of token where possible", GREY, "dash"),
    ):
        part = pick(frame, arm=arm)
        band(figure, part["k"].tolist(), part, Line(name, colour, dash))
    figure.update_xaxes(
        title="positions patched together (k)", type="log", tickvals=sorted(set(frame["k"])), tickformat="d"
    )
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend=_ABOVE, margin={"t": 125})
    sample = f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "Which positions: the best against random ones", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "timing": timing_curves,
    "specificity": specificity_curves,
}
