"""Curves and points, each with its 95 % interval over families."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from pkv_interp.plots.tables import error_bars, has_interval
from pkv_interp.plots.theme import GREY, tint

#: Ends the subtitle of a figure with bands.
INTERVALS = "bands: 95 % over families"


def band(  # noqa: PLR0913  (a line and its band share one look)
    figure: go.Figure,
    x: Sequence[float],
    frame: pd.DataFrame,
    *,
    name: str,
    colour: str,
    prefix: str = "",
    dash: str = "solid",
    col: int | None = None,
) -> None:
    """Add a line with its interval as a band; a single family has no interval and gets none.

    Args:
        figure: to draw on.
        x: of each line of ``frame``.
        frame: the estimates.
        name: in the legend.
        colour: of line and band.
        prefix: of the columns: ``value`` (or the prefix itself), ``ci_low``, ``ci_high``.
        dash: of the line.
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
            fillcolor=tint(colour, 0.18),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=name,
            **place,
        )
    figure.add_scatter(
        x=x,
        y=frame[value],
        mode="lines+markers",
        name=name,
        legendgroup=name,
        line={"color": colour, "width": 2.5, "dash": dash},
        marker={"size": 7},
        customdata=frame[[f"{prefix}ci_low", f"{prefix}ci_high"]],
        hovertemplate="%{y:.3f} [%{customdata[0]:.3f}, %{customdata[1]:.3f}]<extra>" + name + "</extra>",
        **place,
    )


def points(  # noqa: PLR0913  (as `band`)
    figure: go.Figure,
    x: Sequence[float | str],
    frame: pd.DataFrame,
    name: str,
    colour: str,
    symbol: str,
    col: int,
    legend: bool = True,
) -> None:
    """Add single estimates with error bars, in a column of a figure of two."""
    figure.add_scatter(
        x=x,
        y=frame["value"],
        error_y=error_bars(frame, colour),
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=legend,
        marker={"color": colour, "size": 9, "symbol": symbol},
        hovertemplate="%{y:.3f}<extra>" + name + "</extra>",
        row=1,
        col=col,
    )


def goal_lines(figure: go.Figure) -> None:
    """Dotted lines at 0 (as the corrupt prompt) and 1 (as the clean one)."""
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
