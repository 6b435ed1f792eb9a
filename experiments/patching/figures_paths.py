"""Paths to the decision, and the places that the field is moved through."""

import plotly.graph_objects as go

from experiments.patching.figures_places import SCORED
from experiments.patching.tables import FieldPlace, PathLine
from pkv_interp.plots.curves import goal_lines
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, PALE
from pkv_interp.records import RunRecord

#: In the order from the top of the figure.
_PATHS = {
    "notes_field": "notes may not see the field",
    "notes_rule": "notes after the rule may not see it",
    "question_notes": "question may not see notes before it",
    "decision_field": "decision may not see the field",
    "random": "notes may not see another span",
}


def path_bars(record: RunRecord) -> go.Figure:
    """What is left of the gap with each path to the decision closed."""
    frame = table(record, PathLine)
    figure = go.Figure()
    for level in (0.0, 1.0):
        figure.add_vline(x=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for path, name in _PATHS.items():
        line = pick(frame, path=path)
        if len(line):
            figure.add_bar(
                x=line["value"],
                y=[name],
                error_x=error_bars(line, INK),
                orientation="h",
                marker_color=PALE if path == "random" else BLUE,
                showlegend=False,
            )
    figure.update_xaxes(title="share of the gap between clean and stale left")
    figure.update_yaxes(automargin=True, autorange="reversed")
    sample = f"{sample_of(frame, SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Paths to the decision, closed one by one", sample)


def place_points(record: RunRecord) -> go.Figure:
    """Recovery of field-only and notes-only with the field at each place, first to last."""
    frame = table(record, FieldPlace)
    figure = go.Figure()
    goal_lines(figure)
    for arm, name, colour in (("notes_only", "notes only", BLUE), ("field_only", "field only", GREEN)):
        lines = pick(frame, arm=arm)
        figure.add_scatter(
            x=[_place(*at) for at in zip(lines["place"], lines["to_decision"], strict=True)],
            y=lines["value"],
            error_y=error_bars(lines, colour),
            mode="lines+markers",
            line={"color": colour},
            marker={"size": 9},
            name=name,
        )
    figure.update_xaxes(title="place of the field, and tokens from it to the decision")
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 125})
    sample = f"{sample_of(frame, SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Dose and response: the field moved through the prompt", sample)


def _place(name: str, tokens: float) -> str:
    return f"{name.replace('_', ' ')}<br>{tokens:.0f} tokens"
