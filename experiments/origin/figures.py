"""Figures of the experiment: the crossover, and what each trained part can do and rests on."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.origin.cases import LATE, TRIGGER_LATE
from experiments.origin.tables import Accuracy, Locus, Recovery
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, SKY, VERMILLION
from pkv_interp.records import RunRecord

_ARMS = (
    ("field", "field_only", "field alone", ORANGE),
    ("field", "notes_only", "notes alone", BLUE),
    ("trigger", "trigger_only", "trigger alone", VERMILLION),
)
_LATE_ARMS = (
    (LATE, "field_only", "field flips: its own tokens", ORANGE),
    (LATE, "notes_only", "field flips: what comes after", GREY),
    (TRIGGER_LATE, "trigger_only", "trigger flips: its own token", VERMILLION),
)
_PARTS = (
    ("notes_only_K", "keys of the notes", SKY),
    ("notes_only_V", "values of the notes", GREEN),
)
SPLIT = "held-out"
#: Recoveries are shown in this range: an interval of a part that hardly anything rests on can be wider.
_SHOWN = (-0.6, 1.45)
_GATED = "recovery only where {:.0%} of each side is right"


def crossover(record: RunRecord) -> go.Figure:
    """Accuracy and recovery in each pair of prefill and decision token, with no training."""
    right = pick(_accuracy(record), role="crossover")
    parts = _competent(record, pick(table(record, Recovery), role="crossover"))
    figure = make_subplots(rows=1, cols=2)
    sides = (("match", "field equals trigger", SKY), ("mismatch", "field differs", GREEN))
    for side, name, colour in sides:
        mine = pick(right, side=side)
        figure.add_bar(
            x=_cells(mine), y=mine["value"], error_y=error_bars(mine, INK), name=name, marker_color=colour
        )
    for changed, arm, name, colour in _ARMS:
        mine = pick(parts, changed=changed, arm=arm)
        figure.add_bar(
            x=_cells(mine),
            y=mine["value"],
            error_y=error_bars(mine, INK),
            name=name,
            marker_color=colour,
            row=1,
            col=2,
        )
    if not len(parts):
        _nothing(figure, "no pair decides well enough", xref="x2 domain", yref="y2 domain")
    figure.update_yaxes(title="two-way accuracy", range=[0.0, 1.05], row=1, col=1)
    figure.update_yaxes(title=RECOVERY, range=_SHOWN, row=1, col=2)
    figure.update_xaxes(categoryorder="array", categoryarray=_cells(pick(right, side="match")), tickangle=0)
    figure.update_xaxes(range=[-0.5, len(pick(right, side="match")) - 0.5], tickfont={"size": 11})
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 175})
    sample = (
        f"{sample_of(pick(right, side='match'), SPLIT)} a cell; bars: 95 % over families<br>{_told(record)}"
    )
    return entitle(figure, record, "Caches of one model read by another", sample, gated=True)


def _nothing(figure: go.Figure, why: str, **where: str) -> None:
    """Say in an empty panel why it is empty."""
    figure.add_annotation(text=why, x=0.5, y=0.5, showarrow=False, **where)


def _competent(record: RunRecord, parts: pd.DataFrame, right: pd.DataFrame | None = None) -> pd.DataFrame:
    """The lines of arrangements that decide well enough on both sides, over all their seeds.

    Args:
        record: whose threshold holds.
        parts: lines to choose from.
        right: accuracies that are asked; None takes those where the layout itself has the field.
    """
    right = _accuracy(record) if right is None else right
    failed = {
        arrangement
        for arrangement, seed, side, value in zip(
            _arrangements(right), right["seed"], right["side"], right["value"], strict=True
        )
        if pd.isna(seed) and side != "both" and value < _threshold(record)
    }
    kept = [number for number, one in enumerate(_arrangements(parts)) if one not in failed]
    return parts.take(kept)


def _arrangements(frame: pd.DataFrame) -> list[str]:
    columns = (frame[name] for name in ("role", "writer", "reader", "curriculum"))
    return ["/".join(map(str, line)) for line in zip(*columns, strict=True)]


def _threshold(record: RunRecord) -> float:
    assert record.competence is not None  # every run of this experiment is gated
    return record.competence.threshold


def _told(record: RunRecord) -> str:
    return _GATED.format(_threshold(record))


def _accuracy(record: RunRecord) -> pd.DataFrame:
    """Where the layout itself has the field, which comes first."""
    frame = table(record, Accuracy)
    return pick(frame, place=frame["place"].iloc[0])


def _cells(frame: pd.DataFrame) -> list[str]:
    return [f"{w} cache,<br>{r}<br>decision" for w, r in zip(frame["writer"], frame["reader"], strict=True)]


def _of_training(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.take(np.flatnonzero(frame["role"].to_numpy() != "crossover").tolist())


def _trained(frame: pd.DataFrame) -> list[str]:
    return [f"{role},<br>{name}" for role, name in zip(frame["role"], frame["curriculum"], strict=True)]


def _add(figure: go.Figure, frame: pd.DataFrame, name: str, colour: str, row: int) -> None:
    """A bar over all seeds with its interval, and each seed as a point."""
    pooled = frame["seed"].isna().to_numpy(bool)
    bars, points = (frame.take(np.flatnonzero(kept).tolist()) for kept in (pooled, ~pooled))
    figure.add_bar(
        x=_trained(bars),
        y=bars["value"],
        error_y=error_bars(bars, INK),
        name=name,
        offsetgroup=name,
        marker_color=colour,
        row=row,
        col=1,
    )
    figure.add_scatter(
        x=_trained(points),
        y=points["value"],
        mode="markers",
        offsetgroup=name,
        marker={"color": "white", "size": 7, "line": {"color": INK, "width": 1.2}},
        showlegend=False,
        hovertext=[f"seed {seed:.0f}" for seed in points["seed"]],
        row=row,
        col=1,
    )


def roles(record: RunRecord) -> go.Figure:
    """Accuracy and recovery of every trained part by curriculum, seeds as points."""
    right = _of_training(_accuracy(record))
    parts = _competent(record, _of_training(table(record, Recovery)))
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for side, name, colour in (("match", "field equals trigger", SKY), ("mismatch", "field differs", GREEN)):
        _add(figure, pick(right, side=side), name, colour, 1)
    for changed, arm, name, colour in _ARMS:
        _add(figure, pick(parts, changed=changed, arm=arm), name, colour, 2)
    for arm, name, colour in _PARTS:
        _add(figure, pick(parts, changed="field", arm=arm), name, colour, 2)
    return _two_panels(figure, record, right, parts, "A LoRA in one part of the prompt alone")


def _two_panels(
    figure: go.Figure, record: RunRecord, right: pd.DataFrame, parts: pd.DataFrame, title: str
) -> go.Figure:
    """Accuracy above and recovery below, by trained part; the names stand below, where nothing may stand."""
    if not len(parts):
        _nothing(figure, "no trained part decides well enough", xref="x2 domain", yref="y2 domain")
    figure.update_layout(
        barmode="group", scattermode="group", legend=LEGEND_ABOVE, margin={"t": 170}, height=760
    )
    figure.update_yaxes(title="two-way accuracy", range=[0.0, 1.05], row=1, col=1)
    figure.update_yaxes(title=RECOVERY, range=_SHOWN, row=2, col=1)
    named = list(dict.fromkeys(_trained(right)))
    figure.add_scatter(x=named, y=[None] * len(named), mode="markers", showlegend=False, row=2, col=1)
    figure.update_xaxes(categoryorder="array", categoryarray=named, range=[-0.5, max(len(named), 1) - 0.5])
    sample = f"points: seeds; bars: 95 % over seeds and families<br>{_told(record)}"
    if len(right):
        sample = f"{sample_of(pick(right, side='match'), SPLIT)}; {sample}"
    return entitle(figure, record, title, sample, gated=True)


def late(record: RunRecord) -> go.Figure:
    """What trained parts decide from where the field stands after the rule: its flips, and the trigger's."""
    right = _of_training(pick(table(record, Accuracy), place="late"))
    parts = _competent(record, _of_training(table(record, Recovery)), right)
    kinds = _competent(record, _of_training(table(record, Locus)), right)
    kinds = pick(kinds, changed=TRIGGER_LATE, kind="field")
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for side, name, colour in (("match", "field equals trigger", SKY), ("mismatch", "field differs", GREEN)):
        _add(figure, pick(right, side=side), name, colour, 1)
    for changed, arm, name, colour in _LATE_ARMS:
        _add(figure, pick(parts, changed=changed, arm=arm), name, colour, 2)
    _add(figure, kinds.assign(seed=np.nan), "trigger flips: the field's tokens", BLUE, 2)
    shown = pick(parts, changed=LATE)
    return _two_panels(figure, record, right, shown, "Where the field stands after the rule")


def locus(record: RunRecord) -> go.Figure:
    """Recovery of all notes of one kind of token, by trained part and curriculum."""
    every = pick(_of_training(table(record, Locus)), changed="field")
    trained = _competent(record, every)
    figure = go.Figure()
    for number, kind in enumerate(dict.fromkeys(every["kind"])):
        mine = pick(trained, kind=kind)
        figure.add_bar(
            x=_trained(mine),
            y=mine["value"],
            error_y=error_bars(mine, GREY),
            name=f"{kind} ({pick(every, kind=kind)['positions_per_prompt'].mean():.3g})",
            marker_pattern_shape="/" if number >= 7 else "",
        )
    if not len(trained):
        _nothing(figure, "no trained part decides well enough", xref="paper", yref="paper")
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(barmode="group", legend={"title": {"text": "kind (notes in a prompt)"}})
    sample = f"{sample_of(every, SPLIT)}; bars: 95 % over seeds and families<br>{_told(record)}"
    return entitle(figure, record, "Notes that the decision reads, by kind of token", sample, gated=True)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "crossover": crossover,
    "roles": roles,
    "late": late,
    "locus": locus,
}
