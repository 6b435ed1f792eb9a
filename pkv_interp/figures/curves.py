"""Curves over set size and depth, each with its 95 % interval over families."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, has_interval, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, tint
from pkv_interp.records import RunRecord

_INTERVALS = "bands: 95 % over families"


def band(
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
        prefix: of the columns: ``value`` (or the prefix itself), ``ci_low``, ``ci_high``.
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


def _points(figure: go.Figure, x: Sequence[float | str], frame: pd.DataFrame, name: str, colour: str,
            symbol: str, col: int, legend: bool = True) -> None:  # fmt: skip
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


def _goal_lines(figure: go.Figure) -> None:
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")


def read_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best read heads are patched together, against random heads of the same layers."""
    frame = table(record, "read_curve").sort_values("k")
    figure = go.Figure()
    _goal_lines(figure)
    for arm, name, colour, dash in (
        ("top", "k first on discovery families", BLUE, "solid"),
        ("random", "k random heads of the same layers", GREY, "dash"),
    ):
        part = pick(frame, arm=arm)
        band(figure, part["k"].tolist(), part, name=name, colour=colour, dash=dash)
    figure.update_xaxes(title="read heads patched together (k)", tickvals=sorted(set(frame["k"])))
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend={"x": 0.99, "xanchor": "right", "y": 0.5})
    sample = f"{sample_of(frame, 'held-out')}; {_INTERVALS}"
    return entitle(figure, record, "Read heads patched together at the decision token", sample)


def write_curve(record: RunRecord) -> go.Figure:
    """Recovery when the k best write heads are patched in prefill, beside random heads and all of a kind."""
    frame = table(record, "write_curve")
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
            _points(figure, beside, random, f"{label}: random heads", colour, f"{symbol}-open", 1)
        every = pd.concat([pick(here, arm="all_heads"), pick(here, arm="all_mlps")])
        names = ["all heads", "all MLPs"]
        _points(figure, names, every, label, colour, symbol, 2, legend=False)
    _goal_lines(figure)
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
    frame = table(record, "attention_share").sort_values("layer")
    depth = int(table(record, "attention_share_depth")["after_block"].iloc[0])
    figure = go.Figure()
    _goal_lines(figure)
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
    sample = f"{sample_of(frame, 'held-out')}; {_INTERVALS}"
    return entitle(figure, record, "What wrote the notes at aggregators, by depth", sample)


def faithfulness_curve(record: RunRecord) -> go.Figure:
    """Share of the clean margin that is left when all heads but the first ones are replaced."""
    frame = table(record, "faithfulness")
    shares = sorted(set(frame["share"]))
    at = {share: i for i, share in enumerate(shares)}
    figure = go.Figure()
    _goal_lines(figure)
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
    sample = f"{sample_of(frame, 'held-out')}; {_INTERVALS}"
    return entitle(figure, record, "Faithfulness of the read circuit", sample)
