"""Figures of the experiment on pictures."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from experiments.vision.arms import NO_ROTATION, SAME_POSITION, SWAPPED
from experiments.vision.tables import Agreement, Edits, FirstTokens
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, VERMILLION
from pkv_interp.records import RunRecord

_SHIFTED = "moved"


def agreement_by_shift(record: RunRecord) -> go.Figure:
    """Agreement with the full prefill by how far the chunk was moved, one picture and two."""
    frame = pick(table(record, Agreement), category="all")
    figure = go.Figure()
    for arm, pictures, name, colour, dash in (
        (_SHIFTED, 1, "one picture, moved", BLUE, "solid"),
        (_SHIFTED, 2, "two pictures, moved", GREEN, "solid"),
        (NO_ROTATION, 1, "one picture, keys not turned", VERMILLION, "dash"),
        (SAME_POSITION, 1, "one picture, same position", INK, "solid"),
        (SWAPPED, 1, "other pictures", GREY, "dot"),
    ):
        part = pick(frame, arm=arm, pictures=pictures, seam=0).sort_values("shift")
        figure.add_scatter(
            x=part["shift"],
            y=part["value"],
            error_y=error_bars(part, colour),
            name=name,
            mode="lines+markers",
            line={"color": colour, "dash": dash},
        )
    figure.update_xaxes(title="words before the chunk")
    figure.update_yaxes(title="answers as the full prefill", range=[0.0, 1.05])
    sample = f"{sample_of(frame, 'held-out')} a point; bars: 95 %"
    return entitle(figure, record, "Moved chunks with pictures", sample)


def seams(record: RunRecord) -> go.Figure:
    """Agreement and divergence by the tokens of the seam that were run again, after the longest preface."""
    frame = pick(table(record, Agreement), category="all", arm=_SHIFTED)
    frame = pick(frame, shift=max(frame["shift"].tolist()))
    figure = go.Figure()
    for pictures, name, colour in ((1, "one picture", BLUE), (2, "two pictures", ORANGE)):
        part = pick(frame, pictures=pictures).sort_values("seam")
        figure.add_scatter(
            x=part["seam"],
            y=part["value"],
            error_y=error_bars(part, colour),
            name=f"{name}, agreement",
            mode="lines+markers",
            line={"color": colour},
        )
        figure.add_scatter(
            x=part["seam"],
            y=part["kl"],
            name=f"{name}, KL (nats)",
            mode="lines+markers",
            line={"color": colour, "dash": "dot"},
        )
    figure.update_xaxes(title="tokens of the chunk recomputed")
    figure.update_yaxes(title="answers as the full prefill; KL")
    sample = f"{sample_of(frame, 'held-out')} a point; bars: 95 %"
    return entitle(figure, record, "Repairing the seam of a chunk with pictures", sample)


def edits(record: RunRecord) -> go.Figure:
    """Edits that the new value decides, by method and place of the field."""
    frame = table(record, Edits)
    figure = go.Figure()
    for place, name, colour in (
        ("before", "field before the picture", BLUE),
        ("after", "field after the picture", ORANGE),
    ):
        part = pick(frame, place=place)
        figure.add_bar(
            x=part["method"], y=part["value"], error_y=error_bars(part, INK), name=name, marker_color=colour
        )
    figure.update_xaxes(title="", tickangle=-45)
    figure.update_layout(margin={"b": 150}, height=600)
    figure.update_yaxes(title="edits that the new value decides", range=[0.0, 1.05])
    sample = f"{sample_of(frame, 'held-out')} a bar; bars: 95 %"
    return entitle(figure, record, "Fields edited beside a picture", sample)


def first_token(record: RunRecord) -> go.Figure:
    """Time to the first token by resolution, from pixels and from a chunk."""
    frame = table(record, FirstTokens)
    figure = go.Figure()
    for column, name, colour in (
        ("full_ms", "tower and full prefill", BLUE),
        ("tower_ms", "of it, the tower", GREY),
        ("reuse_ms", "chunk reused", ORANGE),
    ):
        figure.add_scatter(
            x=frame["tokens"], y=frame[column], name=name, mode="lines+markers", line={"color": colour}
        )
    figure.update_xaxes(title="tokens of the picture")
    figure.update_yaxes(title="milliseconds", type="log", dtick=1)
    return entitle(figure, record, "Time to the first token", "medians over rounds")


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "agreement": agreement_by_shift,
    "seams": seams,
    "edits": edits,
    "first_token": first_token,
}
