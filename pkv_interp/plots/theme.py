"""The look of every figure: one colour-blind safe palette, set once as a plotly template."""

import plotly.graph_objects as go
import plotly.io as pio

#: Okabe and Ito's palette (distinct under the common colour vision deficiencies), two greys and a brown.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY, PALE = "#CC79A7", "#56B4E9", "#6E6E6E", "#D9D9D9"
YELLOW, BROWN = "#F0E442", "#7A4E2D"
INK = "#222222"

#: Recovery around 0: blue below, white at 0, vermillion above; also distinct without colour vision.
DIVERGING = [
    [0.0, "#00436B"],
    [0.25, "#4C9AC9"],
    [0.5, "#FFFFFF"],
    [0.75, "#EE9A5C"],
    [1.0, "#A33F00"],
]

WIDTH, HEIGHT = 900, 500
_AXIS = {
    "gridcolor": "#EDEDED",
    "linecolor": GREY,
    "ticks": "outside",
    "zeroline": False,
    "title": {"font": {"size": 14}, "standoff": 10},
}
TEMPLATE = "pkv"

pio.templates[TEMPLATE] = go.layout.Template(
    layout={
        "width": WIDTH,
        "height": HEIGHT,
        "colorway": [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY],
        "font": {"family": "Open Sans, DejaVu Sans, Arial, sans-serif", "size": 14, "color": INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 75, "r": 30, "t": 85, "b": 65},
        "title": {
            "x": 0.0,
            "xref": "container",
            "xanchor": "left",
            "yref": "container",
            "y": 1.0,
            "yanchor": "top",
            "pad": {"l": 16, "t": 14},
            "font": {"size": 17},
            "subtitle": {"font": {"size": 13, "color": GREY}},
        },
        "legend": {
            "bgcolor": "rgba(255,255,255,0.85)",
            "bordercolor": PALE,
            "borderwidth": 1,
            "title": {"font": {"size": 13}},
        },
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "hoverlabel": {"font": {"size": 13}},
        "colorscale": {"diverging": DIVERGING},
    }
)

#: A legend in a row between title and figure.
LEGEND_ABOVE = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}


def tint(colour: str, opacity: float) -> str:
    """An ``#RRGGBB`` colour with an opacity, as plotly wants it for bands."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"
