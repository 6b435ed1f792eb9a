"""Figures of what decisions rest on: conflicts, hops, what can be decoded, closed paths."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.programmable.tables import ConflictLine, DecodableLine, HopLine, PathLine
from pkv_interp.plots.curves import INTERVALS, Line, band, chance_line, goal_lines
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

#: Of the roles.
COLOURS = {"base": GREY, "gate": BLUE, "programmable": GREEN, "reader": ORANGE, "control": VERMILLION}
_PATHS = {
    "rule_field": "rule, the field",
    "rule_random": "rule, another span",
    "question_field": "question, the field",
    "decision_field": "decision, the field",
    "block_field": "question and decision, the field",
    "question_rule": "question, the rule",
    "block_rule": "question and decision, the rule",
}
_ARMS = {
    "plain": "all may look at the field",
    "rule_linked": "rule and last block may",
    "isolated": "last block may",
    "decision_alone": "decision token alone may",
}
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")
_BARS = "bars: 95 % over families"


def conflict(record: RunRecord) -> go.Figure:
    """Decisions that go with the field, by the strength of notes that say something else."""
    frame = table(record, ConflictLine)
    figure = go.Figure()
    doses = [model for model in dict.fromkeys(frame["model"]) if model not in COLOURS]
    shades = (PURPLE, SKY, INK)
    looks = COLOURS | {model: shades[at % len(shades)] for at, model in enumerate(doses)}
    for model, colour in looks.items():
        part = pick(frame, model=model)
        if len(part):
            look = Line(model, colour, "dot" if model in doses else "solid")
            band(figure, part["strength"].tolist(), part, look)
    chance_line(figure)
    figure.update_xaxes(title="strength of notes that say something else than the field")
    figure.update_yaxes(title="decisions that go with the field", range=[-0.05, 1.05])
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 130})
    sample = f"{sample_of(frame, 'held-out')} a model; {INTERVALS}"
    return entitle(figure, record, "The field says one thing, the notes another", sample)


def hops(record: RunRecord) -> go.Figure:
    """Right decisions by rules between value and action, and by who may look at the field."""
    frame = table(record, HopLine)
    figure = go.Figure()
    shown = [role for role in COLOURS if role in set(frame["role"])]
    for at, role in enumerate(shown):
        for number, (arm, name) in enumerate(_ARMS.items()):
            part = pick(frame, role=role, arm=arm)
            aside = 0.8 * ((at + (number + 0.5) / len(_ARMS)) / len(shown) - 0.5)
            if len(part):
                figure.add_scatter(
                    x=part["hops"] + aside,  # side by side, since many have the same share
                    y=part["value"],
                    error_y=error_bars(part, COLOURS[role]),
                    mode="markers",
                    name=f"{role}: {name}",
                    marker={"color": COLOURS[role], "size": 9, "symbol": _SYMBOLS[number]},
                )
    chance_line(figure)
    counts = sorted(set(frame["hops"]))
    words = ["1 rule" if one == 1 else f"{one} rules" for one in counts]
    figure.update_xaxes(title="between the field's value and the action", tickvals=counts, ticktext=words)
    figure.update_yaxes(title="right decisions", range=[0.0, 1.05])
    figure.update_layout(legend={**LEGEND_ABOVE, "font_size": 11}, height=690, margin={"t": 285})
    sample = f"{sample_of(frame, 'held-out')} of each kind a model; {_BARS}"
    return entitle(figure, record, "How many rules the last block can follow", sample)


def decodability(record: RunRecord) -> go.Figure:
    """What probes read by layer, before the question and at its end, in plain and in isolated prompts."""
    frame = table(record, DecodableLine)
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        subplot_titles=("all may look at the field", "last block may"),
        horizontal_spacing=0.05,
    )
    for role, colour in COLOURS.items():
        for place, dash, words in (
            ("before_question", "solid", "before the question"),
            ("question_end", "dot", "end of the question"),
        ):
            for col, pattern in ((1, "plain"), (2, "isolated")):
                part = pick(frame, role=role, place=place, pattern=pattern)
                if len(part):
                    band(
                        figure, part["layer"].tolist(), part, Line(f"{role}, {words}", colour, dash), col=col
                    )
    seen: set[str] = set()
    traces: Any = figure.data
    for trace in traces:  # both panels have the same curves: one line each in the legend
        if trace.showlegend is not False:
            trace.showlegend = trace.name not in seen
            seen.add(trace.name)
    chance_line(figure)
    figure.update_xaxes(title="layer")
    figure.update_yaxes(title="conclusions read right", range=[0.0, 1.05], row=1, col=1)
    figure.update_layout(legend={**LEGEND_ABOVE, "y": 1.1}, height=640, margin={"t": 270})
    return entitle(
        figure, record, "Where the conclusion can be decoded", f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    )


def closed_paths(record: RunRecord) -> go.Figure:
    """What is left of the gap between both prompts with a path closed."""
    frame = table(record, PathLine)
    figure = go.Figure()
    for role, colour in COLOURS.items():
        part = pick(frame, role=role)
        if len(part):
            figure.add_bar(
                x=[_PATHS[path] for path in part["path"]],
                y=part["value"],
                error_y=error_bars(part, INK),
                name=role,
                marker_color=colour,
            )
    goal_lines(figure)
    figure.update_xaxes(
        title="who may not see what",
        categoryorder="array",
        categoryarray=list(_PATHS.values()),
        tickangle=-25,
    )
    # Of a model that decides next to nothing by the field a share of its gap can be anything.
    figure.update_yaxes(title="share of the gap left, cut at -1 and 2", range=[-1.0, 2.0])
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, height=560, margin={"t": 130, "b": 150})
    sample = f"{sample_of(frame, 'held-out')} a model; {_BARS}"
    return entitle(figure, record, "Paths to the decision in plain prompts", sample)
