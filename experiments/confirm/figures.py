"""The figure of the confirmatory run: every claim with its estimate, its threshold and what came of it."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import plotly.graph_objects as go

from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED, ClaimLine
from pkv_interp.plots.tables import entitle, error_bars
from pkv_interp.plots.theme import BLUE, GREY, INK, LEGEND_ABOVE, VERMILLION
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import rows_of

_COLOURS = {PASSED: BLUE, FAILED: VERMILLION, NOT_APPLICABLE: GREY}
_COLUMNS = ["claim", "value", "ci_low", "ci_high"]
#: Pixels of a claim, and of all else.
_LINE, _REST = 34, 215
#: Where the words about a claim begin, as a share of the width: right of the axis.
_WORDS = 1.01


def claims(record: RunRecord) -> go.Figure:
    """A forest plot: each claim with its estimate and threshold, and its outcome by colour and by word."""
    lines = rows_of(record, ClaimLine)
    places = {line.claim: -i for i, line in enumerate(lines)}
    figure = go.Figure()
    for line in lines:
        _wanted(figure, line, places[line.claim])
    for outcome, colour in _COLOURS.items():
        mine = [line for line in lines if line.outcome == outcome]
        told = [line for line in mine if line.value is not None]
        _points(figure, told, [places[line.claim] for line in told], outcome, colour)
        for line in mine:
            figure.add_annotation(
                x=_WORDS,
                xref="paper",
                y=places[line.claim],
                text=f"<b>{outcome}</b>{_numbers(line)}",
                showarrow=False,
                xanchor="left",
                font={"size": 12, "color": colour},
            )
    _hollow(figure, [line for line in lines if line.all_value is not None], places)
    figure.update_yaxes(
        tickvals=list(places.values()),
        ticktext=list(places),
        range=[-len(lines) + 0.4, 0.6],
        showgrid=False,
    )
    figure.update_xaxes(title="estimate (recovery, share, difference or ratio), 95 % over families")
    figure.update_layout(
        height=_REST + _LINE * len(lines),
        width=1080,
        margin={"l": 215, "r": 300, "t": 150},
        legend=LEGEND_ABOVE,
    )
    passed, judged = (
        sum(line.outcome in wanted for line in lines) for wanted in ((PASSED,), (PASSED, FAILED))
    )
    sample = f"{passed} of {judged} claims passed, {len(lines) - judged} do not apply; black: thresholds"
    return entitle(figure, record, "Claims that were written down before", sample, gated=True)


def _points(
    figure: go.Figure, lines: Sequence[ClaimLine], at: Sequence[int], outcome: str, colour: str
) -> None:
    """Estimates over what claims are judged on; a name in the legend even where there are none."""
    frame = pd.DataFrame([line.columns() for line in lines], columns=_COLUMNS)
    figure.add_scatter(
        x=frame["value"] if lines else [None],
        y=list(at) or [None],
        mode="markers",
        name=outcome,
        marker={"color": colour, "size": 11},
        error_x=error_bars(frame, colour) if lines else None,
        hovertext=[f"{line.claim}: {line.reason}<br>{line.what}" for line in lines],
    )


def _hollow(figure: go.Figure, lines: Sequence[ClaimLine], places: Mapping[str, int]) -> None:
    """The same figures over all pairs."""
    figure.add_scatter(
        x=[line.all_value for line in lines] or [None],
        y=[places[line.claim] - 0.28 for line in lines] or [None],
        mode="markers",
        name="over all pairs",
        marker={"color": "white", "size": 8, "line": {"color": INK, "width": 1.3}},
    )


def _wanted(figure: go.Figure, line: ClaimLine, at: int) -> None:
    """Where the estimate must lie: a line at each threshold, and a band where there are two."""
    for end in (line.low, line.high):
        if end is not None:
            figure.add_shape(
                type="line", x0=end, x1=end, y0=at - 0.4, y1=at + 0.4, line={"color": INK, "width": 2}
            )
    arrow = {"over": "&#9654;", "under": "&#9664;"}.get(line.direction)
    if arrow is not None:
        end = line.low if line.low is not None else line.high
        figure.add_annotation(
            x=end,
            y=at + 0.3,
            text=arrow,
            showarrow=False,
            xanchor="left" if line.direction == "over" else "right",
            font={"size": 9, "color": INK},
        )


def _numbers(line: ClaimLine) -> str:
    if line.value is None:
        return ""
    if line.ci_low is None or line.ci_high is None:
        return f": {_short(line.value)}"
    return f": {_short(line.value)} [{_short(line.ci_low)}, {_short(line.ci_high)}]"


def _short(value: float) -> str:
    """Two places, and no minus before a zero."""
    return f"{round(value, 2) + 0.0:.2f}"


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"claims": claims}
