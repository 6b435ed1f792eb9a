"""The cheap screen against the exact patch."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.plots.tables import entitle, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREY, ORANGE
from pkv_interp.records import RunRecord


def screening_scatter(record: RunRecord, *, name_first: int = 5) -> go.Figure:
    """First-order effect against the exact patch of the same heads and MLPs, with the identity line.

    Args:
        name_first: so many sites of largest exact effect are named in each panel.
    """
    points, quality = table(record, "screening_points"), table(record, "screening")
    panels = (("heads", "heads", BLUE), ("mlps", "MLPs", ORANGE))
    titles = []
    for sites, name, _ in panels:
        rank = pick(quality, sites=sites, measure="rank_correlation")["value"].tolist()
        rho = f": rank correlation {rank[0]:.2f}" if rank else ""
        titles.append(f"{name}{rho}")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.1)
    for col, (sites, _, colour) in enumerate(panels, start=1):
        part = pick(points, sites=sites)
        screen, exact = part["screen"].to_numpy(float), part["exact"].to_numpy(float)
        low, high = float(min(screen.min(), exact.min())), float(max(screen.max(), exact.max()))
        pad = 0.08 * max(high - low, 1e-9)
        ends = [low - pad, high + pad]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5}, name="identity",
            showlegend=col == 1, hoverinfo="skip", row=1, col=col,
        )  # fmt: skip
        first = set(np.argsort(-np.abs(exact), kind="stable")[:name_first].tolist())
        figure.add_scatter(
            x=screen,
            y=exact,
            mode="markers+text",
            text=[site if i in first else "" for i, site in enumerate(part["site"])],
            textposition="top center",
            textfont={"size": 11},
            marker={"color": colour, "size": 8, "opacity": 0.65},
            customdata=part["site"],
            hovertemplate="%{customdata}<br>attribution %{x:.3f}<br>exact %{y:.3f}<extra></extra>",
            showlegend=False,
            row=1,
            col=col,
        )
        figure.update_xaxes(title="attribution (recovery, first order)", range=ends, row=1, col=col)
        figure.update_yaxes(range=ends, row=1, col=col)
    figure.update_yaxes(title="exact patch (recovery)", row=1, col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(legend={"x": 0.01, "y": 0.98}, margin={"t": 110})
    sample = f"{sample_of(quality, 'held-out')}; points pooled, rank correlation by instance"
    return entitle(
        figure, record, "Attribution patching against the exact patch, at the decision token", sample
    )
