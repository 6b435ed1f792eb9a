"""The cheap screen against the exact patch."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.figures.tables import entitle, sample_of, table
from pkv_interp.figures.theme import BLUE, GREY, ORANGE
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
        rank = quality[(quality["sites"] == sites) & (quality["measure"] == "rank_correlation")]
        rho = f": rank correlation {rank['value'].iloc[0]:.2f} per instance" if len(rank) else ""
        titles.append(f"{name} at the decision token{rho}")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.1)
    for col, (sites, _, colour) in enumerate(panels, start=1):
        part = points[points["sites"] == sites]
        both = part[["screen", "exact"]].to_numpy()
        low, high = float(both.min()), float(both.max())
        pad = 0.08 * max(high - low, 1e-9)
        ends = [low - pad, high + pad]
        figure.add_scatter(
            x=ends, y=ends, mode="lines", line={"color": GREY, "dash": "dot", "width": 1.5}, name="identity",
            showlegend=col == 1, hoverinfo="skip", row=1, col=col,
        )  # fmt: skip
        first = part["exact"].abs().nlargest(name_first).index
        figure.add_scatter(
            x=part["screen"],
            y=part["exact"],
            mode="markers+text",
            text=[site if index in first else "" for index, site in part["site"].items()],
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
    figure.update_layout(legend={"x": 0.01, "y": 0.98}, margin={"t": 115})
    sample = f"{sample_of(quality, 'held-out')}, pooled"
    return entitle(figure, record, "Attribution patching against the exact patch", sample)
