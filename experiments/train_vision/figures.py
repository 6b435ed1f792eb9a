"""Figures of the picture model's training: what it can do, and how it came to it."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from experiments.train_vision.tables import Accuracy, TrainingSteps
from pkv_interp.plots.tables import entitle, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, ORANGE
from pkv_interp.records import RunRecord


def accuracy_by_kind(record: RunRecord) -> go.Figure:
    """Right answers about one picture by what is asked: with the picture, without it, and with another."""
    frame = pick(table(record, Accuracy), condition="one")
    figure = go.Figure()
    for shown, name, colour in (
        ("own", "the picture that is asked about", BLUE),
        ("grey", "a grey picture", GREY),
        ("other", "a picture of another question", ORANGE),
    ):
        part = pick(frame, shown=shown)
        # A kind is one family, so that it has no interval; that of all stands in the table.
        figure.add_bar(x=part["kind"], y=part["value"], name=name, marker_color=colour)
    own = pick(frame, shown="own")
    figure.add_scatter(
        x=own["kind"],
        y=own["constant"],
        mode="markers",
        name="best constant answer",
        marker={"color": GREEN, "symbol": "line-ew-open", "size": 18},
    )
    figure.update_xaxes(title="", tickangle=-45)
    figure.update_layout(margin={"b": 105}, height=560)
    figure.update_yaxes(title="right answers", range=[0.0, 1.05])
    sample = sample_of(pick(own, kind="all"), "held-out")
    return entitle(figure, record, "Answers about pictures never seen in training", str(sample))


def training(record: RunRecord) -> go.Figure:
    """Right answers and told cells over the training."""
    frame = table(record, TrainingSteps)
    figure = go.Figure()
    for column, name, colour in (
        ("answers", "answers", BLUE),
        ("cell", "shape and colour of a thing, from the tower", ORANGE),
    ):
        figure.add_scatter(x=frame["step"], y=frame[column], name=name, line={"color": colour})
    figure.update_xaxes(title="training step")
    figure.update_yaxes(title="share right", range=[0.0, 1.05])
    return entitle(figure, record, "Training on new pictures", "means over 50 steps")


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "accuracy": accuracy_by_kind,
    "training": training,
}
