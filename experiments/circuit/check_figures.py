"""Figures of the second looks: decomposition, faithfulness, the cheap screen."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.circuit.tables import (
    AttentionShare,
    AttentionShareDepth,
    Faithfulness,
    Screening,
    ScreeningPoint,
)
from pkv_interp.plots.curves import INTERVALS, Line, band, goal_lines
from pkv_interp.plots.tables import entitle, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE
from pkv_interp.records import RunRecord


def attention_share(record: RunRecord) -> go.Figure:
    """What attention and MLPs wrote of the difference at aggregators, cumulated over depth."""
    frame = table(record, AttentionShare).sort_values("layer")
    depth = int(table(record, AttentionShareDepth)["after_block"].iloc[0])
    figure = go.Figure()
    goal_lines(figure)
    x = frame["layer"].tolist()
    band(figure, x, frame, Line("attention", BLUE))
    band(figure, x, frame, Line("MLPs", ORANGE, "dash"), prefix="mlp_")
    figure.add_vline(x=depth, line={"color": INK, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=depth,
        y=1.02,
        yref="paper",
        yanchor="bottom",
        text="input of the median read head",
        showarrow=False,
        font={"size": 12},
        xanchor="left" if depth < max(x) / 2 else "right",
    )
    figure.update_xaxes(title="after block", dtick=1 if len(x) <= 20 else 2)
    figure.update_yaxes(title="share of the residual difference (sums to 1)")
    figure.update_layout(margin={"t": 115})
    sample = f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "What wrote the notes at aggregators, by depth", sample)


def faithfulness_curve(record: RunRecord) -> go.Figure:
    """Share of the clean margin that is left when all heads but the first ones are replaced."""
    frame = table(record, Faithfulness)
    shares = sorted(set(frame["share"]))
    at = {share: i for i, share in enumerate(shares)}
    figure = go.Figure()
    goal_lines(figure)
    arms = (
        ("interchange", "by the corrupt prompt's outputs", BLUE, "solid", ""),
        ("mean", "by mean outputs", GREEN, "dash", "_mean"),
    )
    for ablation, name, colour, dash, suffix in arms:
        part = pick(frame, ablation=ablation).sort_values("share")
        area = record.headline.get(f"faithfulness_auc{suffix}")
        label = name if area is None else f"{name}, area {area}"
        band(figure, [at[s] for s in part["share"]], part, Line(label, colour, dash))
    figure.update_xaxes(
        title="share of heads kept, in the order of discovery families (uneven steps)",
        tickvals=list(at.values()),
        ticktext=[f"{100 * share:g} %" for share in shares],
    )
    figure.update_yaxes(title="faithfulness (0 = no head, 1 = all heads)")
    figure.update_layout(
        legend={
            "x": 0.99,
            "xanchor": "right",
            "y": 0.02,
            "yanchor": "bottom",
            "title": {"text": "other heads replaced at the decision"},
        }
    )
    sample = f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "Faithfulness of the read circuit", sample)


def screening_scatter(record: RunRecord, *, name_first: int = 5) -> go.Figure:
    """First-order effect against the exact patch of the same heads and MLPs, with the identity line.

    Args:
        record: of the circuit experiment.
        name_first: number of sites, those of largest exact effect, that are named in each panel.
    """
    sites_drawn, quality = table(record, ScreeningPoint), table(record, Screening)
    panels = (("heads", "heads", BLUE), ("mlps", "MLPs", ORANGE))
    titles = []
    for sites, name, _ in panels:
        rank = pick(quality, sites=sites, measure="rank_correlation")["value"].tolist()
        rho = f": rank correlation {rank[0]:.2f}" if rank else ""
        titles.append(f"{name}{rho}")
    figure = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.1)
    for col, (sites, _, colour) in enumerate(panels, start=1):
        part = pick(sites_drawn, sites=sites)
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
