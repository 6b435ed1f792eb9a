"""Figures of the controls: when conclusions are written and decided, and which positions carry them."""

from typing import Any

import plotly.graph_objects as go

from pkv_interp.figures.curves import band
from pkv_interp.figures.tables import RECOVERY, entitle, pick, sample_of, table
from pkv_interp.figures.theme import BLUE, GREEN, GREY, ORANGE, VERMILLION
from pkv_interp.records import RunRecord

_ABOVE: dict[str, Any] = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
#: Curves of the timing figure: table, column, name, colour, dash.
_TIMING = (
    ("probes", "conclusion", "probe at aggregators: conclusion in unseen families", BLUE, "solid"),
    ("probes", "shuffled", "the same, labels shuffled", GREY, "dot"),
    ("probes", "conclusion_inside", "probe: conclusion, inside a family", GREEN, "dash"),
    ("probes", "field", "probe: field, inside a family", ORANGE, "dash"),
    ("lens", "agrees", "lens at the decision: agrees with the answer", VERMILLION, "solid"),
)


def timing_curves(record: RunRecord) -> go.Figure:
    """Accuracy of probes at aggregators and of the logit lens at the decision, by layer.

    Upright lines stand at the first layer from which the conclusion counts as written, and at the mean one
    from which the lens keeps the answers to both sides.
    """
    figure = go.Figure()
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1, "dash": "dot"}, annotation_text="chance")
    for name, column, label, colour, dash in _TIMING:
        frame = table(record, name).sort_values("layer")
        band(
            figure,
            frame["layer"].tolist(),
            frame,
            name=label,
            colour=colour,
            dash=dash,
            prefix=f"{column}_",
        )
    depths = table(record, "timing").iloc[0]
    n_layers = max(table(record, "lens")["layer"].tolist())
    for column, text, colour, side in (
        ("write_depth", "written", BLUE, "bottom right"),
        ("commit_depth", "committed", VERMILLION, "bottom left"),
    ):
        if depths[column] is not None and depths[column] == depths[column]:  # neither missing nor NaN
            figure.add_vline(
                x=float(depths[column]) * n_layers,
                line={"color": colour, "width": 1.5, "dash": "dash"},
                annotation={"text": text, "font": {"color": colour}},
                annotation_position=side,
            )
    figure.update_xaxes(title="residual stream after layer")
    figure.update_yaxes(title="share right", range=[0.3, 1.03])
    figure.update_layout(
        legend=_ABOVE | {"entrywidth": 345, "font": {"size": 11}}, margin={"t": 170}, height=620
    )
    sample = f"{sample_of(table(record, 'specificity'), 'held-out')}; bands: 95 % over families"
    return entitle(figure, record, "When the conclusion is written, and when the decision commits", sample)


def specificity_curves(record: RunRecord) -> go.Figure:
    """Recovery of the k best positions against random sets, matched where possible."""
    frame = table(record, "specificity").sort_values("k")
    figure = go.Figure()
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for arm, name, colour, dash in (
        ("top", "k first on discovery families", BLUE, "solid"),
        ("random", "k random, matched by region and class of token where possible", GREY, "dash"),
    ):
        part = pick(frame, arm=arm)
        band(figure, part["k"].tolist(), part, name=name, colour=colour, dash=dash)
    figure.update_xaxes(
        title="positions patched together (k)", type="log", tickvals=sorted(set(frame["k"])), tickformat="d"
    )
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend=_ABOVE, margin={"t": 125})
    sample = f"{sample_of(frame, 'held-out')}; bands: 95 % over families"
    return entitle(figure, record, "Which positions: the best against random ones", sample)
