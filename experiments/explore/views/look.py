"""The look of figures in the page: the house's theme, as wide as there is room, on light and on dark."""

from typing import Any

import plotly.graph_objects as go

from pkv_interp.plots.theme import DIVERGING, INK, TEMPLATE

#: Recovery around 0 on a dark page: as far from it in lightness as the house's scale is from white.
DARK_DIVERGING = [[0.0, "#A9D8F7"], [0.25, "#2E7CB0"], [0.5, "#1B1E24"], [0.75, "#C2622A"], [1.0, "#FFC79A"]]
_DARK_INK, _DARK_GRID, _GRID = "#E8E8E8", "#3A3F47", "#E4E4E4"
#: What is left out of plotly's bar of buttons, and no mark of its maker.
CONFIG: Any = {
    "displaylogo": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d", "toImage"],
}


def scale(dark: bool) -> list[list[Any]]:
    """The diverging colours."""
    return DARK_DIVERGING if dark else DIVERGING


def ink(dark: bool) -> str:
    """The colour of text."""
    return _DARK_INK if dark else INK


def dressed(figure: go.Figure, title: str, dark: bool, *, height: int = 340) -> go.Figure:
    """A figure in the page's look.

    Args:
        figure: to dress.
        title: what it shows; long ones are broken by the caller.
        dark: on a dark page.
        height: in pixels.
    """
    grid = _DARK_GRID if dark else _GRID
    axis = {"gridcolor": grid, "linecolor": grid, "automargin": True, "title": {"font": {"size": 13}}}
    figure.update_layout(
        template=TEMPLATE,
        width=None,
        autosize=True,
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": ink(dark), "size": 13, "family": "system-ui, DejaVu Sans, sans-serif"},
        title={"text": title, "font": {"size": 14}, "pad": {"l": 4, "t": 8}},
        margin={"l": 48, "r": 12, "t": 48, "b": 44},
        legend={
            "bgcolor": "rgba(0,0,0,0)",
            "borderwidth": 0,
            "orientation": "h",
            "x": 0,
            "y": 1.0,
            "yanchor": "bottom",
        },
        hoverlabel={"font": {"size": 13}},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    return figure


def empty(dark: bool) -> go.Figure:
    """A figure that shows nothing yet."""
    figure = go.Figure()
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return dressed(figure, "", dark, height=60)
