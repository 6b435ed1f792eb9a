"""Figures of the experiment: answers and agreement by arm, and what each arm costs."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.locomo.tables import ALL, AgreementLine, ArmLine, CostLine
from pkv_interp.plots.tables import entitle, error_bars, estimates, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, VERMILLION
from pkv_interp.records import RunRecord

_ARMS = {
    "full": "full prefill",
    "spliced": "sessions spliced",
    "no_rotation": "keys not turned",
    "no_history": "no history",
}


def _named(arm: str) -> str:
    return _ARMS.get(arm, f"seam of {arm.removeprefix('seam')} tokens")


def _sample(n: int, conversations: int) -> str:
    return f"{n} questions on {conversations} conversations; bars: 95 % over conversations"


def answers(record: RunRecord) -> go.Figure:
    """Scores of answers by arm, and how far each arm agrees with the full prefill."""
    lines = pick(table(record, ArmLine), category=ALL)
    apart = table(record, AgreementLine)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.08)
    scores = (
        ("f1", "token F1", BLUE),
        ("right", "right: contained, or F1 of 0.5", GREEN),
        ("right_published", "or a piece of the gold answer", GREY),
    )
    others = lines.loc[lines["arm"] != "full"]
    panels = [(1, lines, *score) for score in scores]
    panels += [(2, others, "same_text", "the same greedy text", ORANGE)]
    panels += [(2, apart, "top1", "the same first token", VERMILLION)]
    for col, frame, quantity, name, colour in panels:
        part = estimates(frame, quantity)
        figure.add_bar(
            x=[_named(str(arm)) for arm in frame["arm"]],
            y=part["value"],
            error_y=error_bars(part, INK),
            name=name,
            marker_color=colour,
            row=1,
            col=col,
        )
    figure.update_yaxes(title="mean over questions", range=[0, 1.05], row=1, col=1)
    figure.update_yaxes(title="agreement with the full prefill", range=[0, 1.05], row=1, col=2)
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, height=620, margin={"t": 150, "b": 120})
    sample = _sample(largest(lines, "n"), largest(lines, "n_families"))
    return entitle(figure, record, "Answers over a spliced history", sample)


def cost(record: RunRecord) -> go.Figure:
    """Seconds and tokens until the history is in the cache, beside what was paid once."""
    frame = table(record, CostLine)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    names = [_named(str(arm)) for arm in frame["arm"]]
    for col, unit in ((1, "seconds"), (2, "tokens")):
        for column, name, colour in ((unit, "each conversation", BLUE), (f"once_{unit}", "once", GREY)):
            figure.add_bar(
                x=names,
                y=frame[column],
                name=name,
                legendgroup=name,
                showlegend=col == 1,
                marker_color=colour,
                row=1,
                col=col,
            )
        figure.update_yaxes(title=f"{unit}, all histories", row=1, col=col)
    figure.update_layout(barmode="group", legend=LEGEND_ABOVE, height=560, margin={"t": 140, "b": 120})
    return entitle(figure, record, "A history in the cache", "before the question, which every arm runs")


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"answers": answers, "cost": cost}
