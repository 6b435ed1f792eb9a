"""Figures of the experiment on architectures."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from experiments.architectures.tables import ArmLine, OperationLine
from pkv_interp.plots.tables import entitle, error_bars, estimates, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREY, INK, LEGEND_ABOVE, ORANGE
from pkv_interp.records import RunRecord


def support(record: RunRecord) -> go.Figure:
    """Which operation is served on which architecture; the reason of a refusal on hovering."""
    frame = table(record, OperationLine)
    names = list(dict.fromkeys(frame["architecture"]))
    operations = list(dict.fromkeys(frame["operation"]))
    served = [
        [float(pick(frame, architecture=name, operation=one)["reason"].isna().iloc[0]) for one in operations]
        for name in names
    ]
    why = [
        [str(pick(frame, architecture=name, operation=one)["reason"].iloc[0]) for one in operations]
        for name in names
    ]
    figure = go.Figure(
        go.Heatmap(
            z=served,
            x=operations,
            y=names,
            zmin=0.0,
            zmax=1.0,
            colorscale=[[0.0, "white"], [1.0, BLUE]],
            showscale=False,
            xgap=1,
            ygap=1,
            customdata=why,
            hovertemplate="%{y}, %{x}: %{customdata}<extra></extra>",
        )
    )
    figure.update_xaxes(tickangle=-45, automargin=True)
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(height=140 + 22 * len(names))
    sample = f"{len(names)} tiny architectures with random weights; filled: exact to 1e-4, white: refused"
    return entitle(figure, record, "What is served of each architecture", sample)


def arms(record: RunRecord) -> go.Figure:
    """Recovery of errata and hoisted fields by model, over the edits that can tell."""
    frame = table(record, ArmLine)
    figure = go.Figure()
    figure.add_vline(x=0.5, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for arm, colour in (("erratum", BLUE), ("hoisted", ORANGE)):
        mine = pick(frame, arm=arm).iloc[::-1]
        mine = mine[mine["discriminating"] > 0]  # without an edit that can tell there is no recovery
        part = estimates(mine, "recovery")
        figure.add_bar(
            x=part["value"],
            y=[f"{line.model} ({line.discriminating})" for line in mine.itertuples()],
            error_x=error_bars(part, INK),
            orientation="h",
            name=arm,
            marker_color=colour,
        )
    figure.update_xaxes(title="share of edits in which the new action is picked", range=[-0.03, 1.03])
    figure.update_yaxes(title="model (edits that can tell)", automargin=True)
    figure.update_layout(
        barmode="group",
        height=max(340, 200 + 30 * frame["model"].nunique()),
        margin={"t": 150},
        legend={**LEGEND_ABOVE, "traceorder": "reversed"},
    )
    sample = f"{largest(frame, 'edits')} edits a model; bars: Wilson, 95 %, over families"
    if record.model.get("random_weights"):
        sample += "; random weights, whose picks mean nothing"
    return entitle(figure, record, "An edit said in the prompt, with no cache edited", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"support": support, "arms": arms}
