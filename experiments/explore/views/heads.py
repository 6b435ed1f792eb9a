"""Effects of heads: the heatmap and the curve of growing sets."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from dash import html
from jaxtyping import Float

from experiments.explore.heads import Curve, Site
from experiments.explore.views.look import dressed, ink, scale
from experiments.explore.views.prompt import share
from experiments.explore.views.words import Children
from pkv_interp.plots.theme import BLUE, GREY, ORANGE

#: What an effect of heads is, by what is done to them.
EFFECT = {"patch": "recovery", "knockout": "gap lost"}


def name(layer: int, head: int) -> str:
    """A head as it is written."""
    return f"{layer}.{head}"


def heatmap(
    effects: Float[np.ndarray, "layers heads"],
    chosen: Sequence[tuple[int, int]],
    site: Site,
    dark: bool,
) -> go.Figure:
    """The effect of every head, the chosen ones marked."""
    reach = float(np.nanmax(np.abs(effects), initial=1e-9)) if np.isfinite(effects).any() else 1.0
    what = EFFECT[site.mode]
    figure = go.Figure()
    figure.add_heatmap(
        z=effects,
        colorscale=scale(dark),
        zmin=-reach,
        zmax=reach,
        colorbar={"title": {"text": what}, "thickness": 10},
        hovertemplate=f"head %{{y}}.%{{x}}<br>{what} %{{z:.3f}}<extra></extra>",
    )
    figure.add_scatter(
        x=[head for _, head in chosen],
        y=[layer for layer, _ in chosen],
        mode="markers",
        marker={"symbol": "square-open", "size": 14, "color": ink(dark), "line": {"width": 2}},
        hoverinfo="skip",
        showlegend=False,
    )
    where = "at the decision" if site.words is None else f"at {len(site.words)} chosen words"
    dressed(figure, f"Each head {where}", dark, height=max(320, 14 * effects.shape[0] + 110))
    figure.update_xaxes(title_text="head", dtick=1, range=[-0.5, effects.shape[1] - 0.5])
    step = 1 if effects.shape[0] <= 8 else 5
    figure.update_yaxes(title_text="layer", dtick=step, range=[-0.5, effects.shape[0] - 0.5])
    return figure


def cumulative(found: Curve, site: Site, dark: bool) -> go.Figure:
    """Growing sets: the best heads, and random ones of the same layers."""
    figure = go.Figure()
    sizes = list(found.sizes)
    whole = [row for row, effects in enumerate(found.random) if np.isfinite(effects).all()]
    low, high = found.random[whole].min(1).tolist(), found.random[whole].max(1).tolist()
    drawn = [sizes[row] for row in whole]
    figure.add_scatter(
        x=[*drawn, *reversed(drawn)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor="rgba(128,128,128,0.25)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=sizes,
        y=found.random.mean(1),
        mode="lines+markers",
        name="random heads",
        line={"color": GREY, "dash": "dot"},
    )
    colour = ORANGE if dark else BLUE
    figure.add_scatter(
        x=sizes, y=found.top, mode="lines+markers", name="best heads", line={"color": colour, "width": 2.5}
    )
    dressed(figure, "Heads taken together", dark)
    figure.update_xaxes(title_text="number of heads")
    figure.update_yaxes(title_text=EFFECT[site.mode])
    return figure


def chosen(effect: float, heads: Sequence[tuple[int, int]], site: Site) -> Children:
    """The effect of the chosen heads together, in a sentence."""
    listed = ", ".join(name(*head) for head in heads)
    what = "put in from the clean prompt" if site.mode == "patch" else "knocked out on both prompts"
    return [
        html.P(
            [
                f"{listed}, {what}: ",
                html.Strong(f"{EFFECT[site.mode]} {share(effect)}"),
            ]
        )
    ]
