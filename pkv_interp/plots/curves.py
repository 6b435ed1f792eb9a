"""Curves and points, each with its 95 % interval over families."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from pkv_interp.plots.tables import error_bars, has_interval
from pkv_interp.plots.theme import GREY, tint

#: Ends the subtitle of a figure with bands.
INTERVALS = "bands: 95 % over families"


@dataclass(frozen=True)
class Line:
    """How a curve looks.

    Attributes:
        name: in the legend.
        colour: of line and band.
        dash: of the line.
    """

    name: str
    colour: str
    dash: str = "solid"


@dataclass(frozen=True)
class Mark:
    """How single estimates look.

    Attributes:
        name: in the legend.
        colour: of markers and error bars.
        symbol: of the markers.
        legend: whether they have a line in the legend.
    """

    name: str
    colour: str
    symbol: str
    legend: bool = True


def band(
    figure: go.Figure,
    x: Sequence[float],
    frame: pd.DataFrame,
    line: Line,
    *,
    prefix: str = "",
    col: int | None = None,
) -> None:
    """Add a line with its interval as a band; a single family has no interval and gets none.

    Args:
        figure: to draw on.
        x: of each line of ``frame``.
        frame: the estimates.
        line: how it looks.
        prefix: of the columns: ``value`` (or the prefix itself), ``ci_low``, ``ci_high``.
        col: column of a figure of several panels, None where there is one panel.
    """
    value = prefix.rstrip("_") or "value"
    place = {} if col is None else {"row": 1, "col": col}
    low, high = frame[f"{prefix}ci_low"], frame[f"{prefix}ci_high"]
    if has_interval(frame, prefix):
        figure.add_scatter(
            x=[*x, *reversed(x)],
            y=[*high, *reversed(low.tolist())],
            fill="toself",
            fillcolor=tint(line.colour, 0.18),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=line.name,
            **place,
        )
    figure.add_scatter(
        x=x,
        y=frame[value],
        mode="lines+markers",
        name=line.name,
        legendgroup=line.name,
        line={"color": line.colour, "width": 2.5, "dash": line.dash},
        marker={"size": 7},
        customdata=frame[[f"{prefix}ci_low", f"{prefix}ci_high"]],
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra>" + line.name + "</extra>",
        **place,
    )


def points(figure: go.Figure, x: Sequence[float | str], frame: pd.DataFrame, mark: Mark, col: int) -> None:
    """Add single estimates with error bars, in a column of a figure of two.

    Args:
        figure: to draw on.
        x: of each line of ``frame``.
        frame: the estimates.
        mark: how they look.
        col: column of the figure.
    """
    figure.add_scatter(
        x=x,
        y=frame["value"],
        error_y=error_bars(frame, mark.colour),
        mode="markers",
        name=mark.name,
        legendgroup=mark.name,
        showlegend=mark.legend,
        marker={"color": mark.colour, "size": 9, "symbol": mark.symbol},
        hovertemplate="%{y:.3f}<extra>" + mark.name + "</extra>",
        row=1,
        col=col,
    )


def chance_line(figure: go.Figure) -> None:
    """Mark one half as what guessing between two answers gives; its label stands beside what is drawn."""
    figure.add_hline(y=0.5, line={"color": GREY, "width": 1, "dash": "dot"})
    figure.add_annotation(
        x=1, xref="paper", xanchor="left", y=0.5, yref="y", text="chance", showarrow=False, font_color=GREY
    )
    figure.update_layout(margin_r=75)


def goal_lines(figure: go.Figure) -> None:
    """Dotted lines at 0 (as the corrupt prompt) and 1 (as the clean one)."""
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
