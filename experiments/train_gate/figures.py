"""Figures of the gate adapter's training: what it can do, and what its mechanism was at each stage."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from experiments.train_gate.tables import Accuracy, MechanismStep
from pkv_interp.plots.curves import Line, band, chance_line, goal_lines
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, ORANGE, VERMILLION
from pkv_interp.records import RunRecord


def gate_accuracy(record: RunRecord) -> go.Figure:
    """Two-way accuracy by condition and side of the field, on families and wordings never trained on."""
    frame = table(record, Accuracy)
    figure = go.Figure()
    for side, name, colour, symbol in (
        ("match", "field equals the rule's value", BLUE, "circle"),
        ("mismatch", "field differs", ORANGE, "square"),
    ):
        part = pick(frame, side=side)
        figure.add_scatter(
            x=[f"{c}, {t:.0f}" for c, t in zip(part["condition"], part["tokens"], strict=True)],
            y=part["value"],
            error_y=error_bars(part, colour),
            mode="markers",
            name=name,
            marker={"color": colour, "size": 10, "symbol": symbol},
        )
    chance_line(figure)
    figure.update_xaxes(title="", tickangle=-45, tickfont={"size": 11})
    figure.update_yaxes(title="two-way accuracy", range=[0.0, 1.05])
    figure.update_layout(legend={"x": 0.01, "y": 0.05, "yanchor": "bottom"}, margin_b=120)
    told = sample_of(frame, "held-out")
    sample = f"{told} a condition (and the tokens of its prompts) and side; bars: 95 %"
    return entitle(figure, record, "Decisions on unseen families, rules and update wordings", sample)


def gate_mechanism(record: RunRecord) -> go.Figure:
    """Recovery of the changed span alone and of the notes, and accuracy, at each kept stage of training."""
    frame = table(record, MechanismStep)
    figure = go.Figure()
    goal_lines(figure)
    for arm, name, colour, dash in (
        ("field_notes_only", "notes, field flipped", BLUE, "solid"),
        ("trigger_notes_only", "notes, trigger flipped", GREEN, "dash"),
        ("field_only", "field alone", ORANGE, "solid"),
        ("trigger_only", "trigger alone", VERMILLION, "dash"),
    ):
        part = pick(frame, arm=arm).sort_values("step")
        band(figure, part["step"].tolist(), part, Line(name, colour, dash))
    part = pick(frame, arm="field_only").sort_values("step")
    figure.add_scatter(
        x=part["step"],
        y=part["accuracy"],
        name="accuracy (both sides)",
        mode="lines+markers",
        line={"color": GREY, "width": 1.5, "dash": "dot"},
    )
    figure.update_xaxes(title="training step", tickvals=sorted(set(frame["step"])))
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "entrywidth": 210},
        margin={"t": 160},
    )
    sample = f"{sample_of(frame, 'held-out')} a curve; bands: 95 % over families"
    return entitle(figure, record, "Where the decision is read from, as training broadens", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "accuracy": gate_accuracy,
    "mechanism": gate_mechanism,
}
