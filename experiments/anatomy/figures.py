"""Figures of the anatomy experiment."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.anatomy.tables import AttentionLine, HeadSet, PartLine, PathLine, PredictedEdit, WordLine
from pkv_interp.plots.curves import goal_lines
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PALE, PURPLE, SKY
from pkv_interp.records import RunRecord

_PARTS = {"K": ("keys only", SKY), "V": ("values only", ORANGE), "KV": ("both", BLUE)}
_GROUPS = {
    "notes": "all notes",
    "actions": "rule's action words",
    "menu": "the same words elsewhere",
    "delimiters": "line ends, punctuation",
    "others": "everything else",
    "random": "random, as many as action words",
    "elsewhere": "notes but those words",
    "notes, base's words": "notes, the words' values kept",
}
_BARS = "bars: 95 % over families"


def part_bars(record: RunRecord) -> go.Figure:
    """Recovery with keys, values or both put in: by group in all layers, and of all notes by band."""
    frame = table(record, PartLine)
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, column_widths=[0.65, 0.35], horizontal_spacing=0.04
    )
    by_band = pick(frame, group="notes")
    for part, (name, colour) in _PARTS.items():
        for col, lines, column in (
            (1, pick(frame, part=part, band="all"), "group"),
            (2, pick(by_band, part=part), "band"),
        ):
            figure.add_bar(
                x=[_GROUPS.get(label, label) for label in lines[column]],
                y=lines["value"],
                error_y=error_bars(lines, INK),
                name=name,
                marker_color=colour,
                showlegend=col == 1,
                row=1,
                col=col,
            )
    goal_lines(figure)
    figure.update_xaxes(title="tokens, all layers", row=1, col=1)
    figure.update_xaxes(title="layers, all notes", row=1, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, height=620, margin={"t": 125, "b": 180})
    sample = f"{sample_of(frame, 'held-out')}; {_BARS}"
    return entitle(figure, record, "Keys and values of the notes", sample)


def word_bars(record: RunRecord) -> go.Figure:
    """What the decision follows of donors with the same, exchanged and other action words."""
    frame = table(record, WordLine)
    arms = (
        ("same", "role", "same words", PALE),
        ("swapped", "role", "exchanged: role (+) or word (-)", PURPLE),
        ("renamed", "role", "other words: their role", BLUE),
        ("renamed", "word", "other words: the word", ORANGE),
    )
    figure = go.Figure()
    goal_lines(figure)
    for donor, follows, name, colour in arms:
        lines = pick(frame, donor=donor, follows=follows)
        if not len(lines):
            continue
        labels = zip(lines["group"], lines["part"], strict=True)
        figure.add_bar(
            x=[f"{_GROUPS.get(group, group)}: {part}" for group, part in labels],
            y=lines["value"],
            error_y=error_bars(lines, INK),
            name=name,
            marker_color=colour,
        )
    figure.update_xaxes(title="what is put in, all layers", tickangle=-35)
    figure.update_yaxes(title="shift of the conclusion (1 = the whole gap)")
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, height=600, margin={"t": 125, "b": 170})
    sample = f"{sample_of(frame, 'held-out')}; {_BARS}"
    return entitle(figure, record, "Role or word", sample)


def path_bars(record: RunRecord) -> go.Figure:
    """What is left of the gap with paths of the prefill closed, and with one path to the field alone."""
    frame = table(record, PathLine)
    figure = go.Figure()
    for level in (0.0, 1.0):
        figure.add_vline(x=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for how, name, colour in (
        ("random", "another span in its place", PALE),
        ("only", "of the paths to the field this one alone", GREEN),
        ("closed", "closed", BLUE),
    ):
        lines = pick(frame, how=how).iloc[::-1]
        if not len(lines):
            continue
        figure.add_bar(
            x=lines["value"],
            y=[path.replace("_", " to ") for path in lines["path"]],
            error_x=error_bars(lines, INK),
            orientation="h",
            name=name,
            marker_color=colour,
        )
    figure.update_xaxes(title="share of the gap between clean and corrupt left")
    figure.update_yaxes(automargin=True, tickfont={"size": 11})
    figure.update_layout(
        barmode="group", height=860, legend={**LEGEND_ABOVE, "traceorder": "reversed"}, margin={"t": 175}
    )
    sample = f"{sample_of(frame, 'held-out')}; {_BARS}"
    return entitle(figure, record, "Paths of the prefill", sample)


def head_curves(record: RunRecord) -> go.Figure:
    """Read heads' outputs, patterns and values put in together; attention against effect over heads."""
    frame = table(record, HeadSet)
    figure = make_subplots(rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.14)
    for what, name, colour in (
        ("both", "outputs", BLUE),
        ("pattern", "patterns", SKY),
        ("values", "values", ORANGE),
    ):
        for arm, dash, words in (("top", "solid", ""), ("random", "dot", ", random heads")):
            lines = pick(frame, what=what, arm=arm).sort_values("k")
            if not len(lines):
                continue
            figure.add_scatter(
                x=lines["k"],
                y=lines["value"],
                error_y=error_bars(lines, colour),
                mode="lines+markers",
                line={"color": colour, "dash": dash},
                name=f"{name}{words}",
                row=1,
                col=1,
            )
    if AttentionLine.table in record.tables:
        seen = table(record, AttentionLine)
        both = pick(seen, effect="both")
        figure.add_bar(
            x=both["attention"],
            y=both["value"],
            error_y=error_bars(both, INK),
            marker_color=PURPLE,
            showlegend=False,
            row=1,
            col=2,
        )
    # Only the counts that were run are named: a log axis would name every digit between them.
    counts = sorted(frame["k"].unique())
    figure.update_xaxes(title="read heads, best first", type="log", tickvals=counts, row=1, col=1)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_xaxes(title="attention to", row=1, col=2)
    figure.update_yaxes(title="rank correlation with effect", range=[-1, 1], row=1, col=2)
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 140})
    sample = f"{sample_of(frame, 'held-out')}; {_BARS}"
    return entitle(figure, record, "Pattern and values of the read heads", sample)


def prediction_points(record: RunRecord) -> go.Figure:
    """Measured recovery of every edit against that told from plain caches, and against the toy's."""
    frame = table(record, PredictedEdit)
    figure = make_subplots(
        rows=1, cols=2, shared_yaxes=True, subplot_titles=("all heads, first order", "published toy")
    )
    for kind, name, colour in (
        ("pasted", "notes put in, most attended", BLUE),
        ("random", "random notes put in", PALE),
        ("suffix", "last notes put in", SKY),
        ("group", "groups of notes put in", GREEN),
        ("recomputed", "field and notes computed again", ORANGE),
        ("hidden", "hidden from the decision", PURPLE),
    ):
        for col, told in ((1, "predicted"), (2, "toy")):
            lines = pick(frame, kind=kind).dropna(subset=[told])
            if not len(lines):
                continue
            figure.add_scatter(
                x=lines[told],
                y=lines["value"],
                error_y=error_bars(lines, colour),
                mode="markers",
                marker={"color": colour, "size": 9, "line": {"color": INK, "width": 0.5}},
                text=lines["edit"],
                name=name,
                legendgroup=kind,
                showlegend=col == 1,
                row=1,
                col=col,
            )
    for col in (1, 2):
        figure.add_scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": GREY, "width": 1, "dash": "dot"},
            showlegend=False,
            row=1,
            col=col,
        )
        figure.update_xaxes(title="recovery, predicted", row=1, col=col)
    figure.update_yaxes(title="recovery, measured", row=1, col=1)
    figure.update_layout(legend={**LEGEND_ABOVE, "y": 1.1}, height=620, margin={"t": 190})
    sample = f"{sample_of(frame, 'held-out')}; {_BARS}"
    return entitle(figure, record, "Edited caches told from plain ones", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "parts": part_bars,
    "words": word_bars,
    "paths": path_bars,
    "heads": head_curves,
    "prediction": prediction_points,
}
