"""Figures of the circuit experiment."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.circuit.tables import (
    AttentionShare,
    AttentionShareDepth,
    Faithfulness,
    ReadCurve,
    ReadHead,
    Screening,
    ScreeningPoint,
    SiteLabel,
    TokenKind,
    WriteCurve,
    WriteHead,
    WriteSample,
)
from pkv_interp.plots.curves import INTERVALS, band, goal_lines, points
from pkv_interp.plots.tables import (
    RECOVERY,
    entitle,
    error_bars,
    pick,
    sample_of,
    sample_of_split,
    table,
)
from pkv_interp.plots.theme import BLUE, DIVERGING, GREEN, GREY, INK, ORANGE
from pkv_interp.plots.tokens import token_bars, token_text
from pkv_interp.records import RunRecord

_PANELS = (
    (ReadHead, "held_out", "read: output at the decision token, scored on held-out families"),
    (WriteHead, "joint", "write: output at all aggregators during prefill, on discovery families"),
)


_BAR_TITLE = {"text": "recovery", "font": {"size": 13}}


def grid(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """A table of heads as a grid: heads are the index, layers the columns."""
    return frame.pivot(index="head", columns="layer", values=value)


def head_heatmap(record: RunRecord, *, mark: int = 12) -> go.Figure:
    """Recovery when one head's output is patched: read heads above, write heads below, layer by head.

    Args:
        mark: this many heads, ranked first on discovery families, get a ring.
    """
    frames = [table(record, kind) for kind, _, _ in _PANELS]
    n_heads = int(frames[0]["head"].to_numpy().max()) + 1
    n_layers = int(frames[0]["layer"].to_numpy().max()) + 1
    cell = 18 if n_heads <= 16 else 11
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.13, subplot_titles=[p[2] for p in _PANELS]
    )
    for row, (frame, (_, value, _)) in enumerate(zip(frames, _PANELS, strict=True), start=1):
        cells = grid(frame, value)
        reach = max(float(np.nanmax(np.abs(cells.to_numpy()))), 1e-9)
        figure.add_heatmap(
            z=cells.to_numpy(),
            x=cells.columns,
            y=cells.index,
            colorscale=DIVERGING,
            zmin=-reach,
            zmax=reach,
            xgap=1,
            ygap=1,
            colorbar={"len": 0.46, "y": 0.785 if row == 1 else 0.215, "title": _BAR_TITLE, "thickness": 14},
            hovertemplate="layer %{x}, head %{y}<br>recovery %{z:.3f}<extra></extra>",
            row=row,
            col=1,
        )
        first = frame[frame["rank"] <= mark]
        figure.add_scatter(
            x=first["layer"],
            y=first["head"],
            mode="markers",
            marker={"symbol": "circle-open", "size": cell * 0.55, "color": INK, "line": {"width": 1.5}},
            name=f"first {mark} on discovery families",
            showlegend=row == 1,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    step = 1 if n_heads <= 16 else 4
    figure.update_yaxes(range=[n_heads - 0.5, -0.5], dtick=step, title="head", showgrid=False)
    figure.update_xaxes(dtick=1 if n_layers <= 20 else 2, showgrid=False, range=[-0.5, n_layers - 0.5])
    figure.update_xaxes(title="layer", row=2, col=1)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_layout(
        height=max(500, 2 * n_heads * cell + 190),
        margin={"t": 115},
        legend={"x": 1.0, "xanchor": "right", "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
    )
    held_out = sample_of_split(record, "held_out")
    discovery = sample_of(table(record, WriteSample), "discovery")
    return entitle(figure, record, "Recovery of single heads", f"read: {held_out}; write: {discovery}")


def read_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best read heads are patched together, against random heads of the same layers."""
    frame = table(record, ReadCurve).sort_values("k")
    figure = go.Figure()
    goal_lines(figure)
    for arm, name, colour, dash in (
        ("top", "k first on discovery families", BLUE, "solid"),
        ("random", "k random heads of the same layers", GREY, "dash"),
    ):
        part = pick(frame, arm=arm)
        band(figure, part["k"].tolist(), part, name=name, colour=colour, dash=dash)
    figure.update_xaxes(title="read heads patched together (k)", tickvals=sorted(set(frame["k"])))
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.5})
    sample = f"{sample_of(frame, 'held-out')}; {INTERVALS}"
    return entitle(figure, record, "Read heads patched together at the decision token", sample)


def write_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best write heads are patched in prefill, beside random heads and all of a kind."""
    frame = table(record, WriteCurve)
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.76, 0.24], shared_yaxes=True, horizontal_spacing=0.02
    )
    places = (
        ("joint", "all aggregators", BLUE, "circle", -0.15),
        ("top", "top aggregator", ORANGE, "square", 0.15),
    )
    for where, label, colour, symbol, aside in places:
        here = pick(frame, where=where)
        top = pick(here, arm="top").sort_values("k")
        band(figure, top["k"].tolist(), top, name=f"{label}: k first of discovery", colour=colour, col=1)
        random = pick(here, arm="random")
        if len(random):
            beside = (random["k"] + aside).tolist()
            points(figure, beside, random, f"{label}: random heads", colour, f"{symbol}-open", 1)
        every = pd.concat([pick(here, arm="all_heads"), pick(here, arm="all_mlps")])
        names = ["all heads", "all MLPs"]
        points(figure, names, every, label, colour, symbol, 2, legend=False)
    goal_lines(figure)
    ticks = sorted({int(k) for k in frame["k"].dropna()})
    figure.update_xaxes(title="write heads patched together (k)", tickvals=ticks, row=1, col=1)
    figure.update_xaxes(title="everything of a kind", range=[-0.6, 1.6], row=1, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(
        legend={
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "font": {"size": 12},
            "entrywidth": 230,
            "borderwidth": 0,
        },
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, 'held-out')}; bands and bars: 95 % over families"
    return entitle(figure, record, "Write heads patched during prefill", sample)


def attention_share(record: RunRecord) -> go.Figure:
    """What attention and MLPs wrote of the difference at aggregators, cumulated over depth."""
    frame = table(record, AttentionShare).sort_values("layer")
    depth = int(table(record, AttentionShareDepth)["after_block"].iloc[0])
    figure = go.Figure()
    goal_lines(figure)
    x = frame["layer"].tolist()
    band(figure, x, frame, name="attention", colour=BLUE)
    band(figure, x, frame, name="MLPs", colour=ORANGE, prefix="mlp_", dash="dash")
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
        band(figure, [at[s] for s in part["share"]], part, name=label, colour=colour, dash=dash)
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
        name_first: so many sites of largest exact effect are named in each panel.
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


def token_kinds(record: RunRecord) -> go.Figure:
    """Single-position recoveries summed by span kind, with their intervals."""
    frame = table(record, TokenKind).sort_values("value")
    names = [
        f"{kind} ({n:.3g} positions)"
        for kind, n in zip(frame["kind"], frame["positions_per_prompt"], strict=True)
    ]
    figure = go.Figure(
        go.Bar(x=frame["value"], y=names, orientation="h", error_x=error_bars(frame, INK), marker_color=BLUE)
    )
    figure.update_xaxes(title=f"sum of single-position {RECOVERY}", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="span kind", title_standoff=14, automargin=True)
    sample = f"{sample_of(frame, 'held-out')}; bars: 95 % over families"
    return entitle(figure, record, "Where the notes lie: recovery by span kind", sample)


def site_bars(record: RunRecord, *, most: int = 16) -> go.Figure:
    """Position labels ranked on discovery families beside their held-out recovery; aggregators are named."""
    frame = table(record, SiteLabel).head(most).iloc[::-1]
    names = [f"<b>{s}</b> *" if a else s for s, a in zip(frame["label"], frame["aggregator"], strict=True)]
    figure = go.Figure()
    for split, name, colour in (
        ("held_out", "held-out", BLUE),
        ("discovery", "discovery (ranked on)", ORANGE),
    ):
        figure.add_bar(x=frame[split], y=names, orientation="h", name=name, marker_color=colour)
    figure.update_xaxes(title=f"single-position {RECOVERY}", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="position label (* = aggregator)", title_standoff=14, automargin=True)
    figure.update_layout(legend={"traceorder": "reversed", "x": 0.99, "xanchor": "right", "y": 0.02},
                         bargap=0.25, height=max(500, 22 * len(frame) + 170))  # fmt: skip
    sample = "; ".join(str(sample_of_split(record, split)) for split in ("discovery", "held_out"))
    return entitle(figure, record, "Aggregators: recovery by position label", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "heads": head_heatmap,
    "read_curve": read_curve,
    "write_curve": write_curve,
    "token_text": token_text,
    "token_bars": token_bars,
    "token_kinds": token_kinds,
    "sites": site_bars,
    "attention_share": attention_share,
    "faithfulness": faithfulness_curve,
    "screening": screening_scatter,
}
