"""Figures of the editing experiment: what each way to change a field decides, and what it costs."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.editing.tables import (
    ErratumArm,
    Frontier,
    FrontierByLength,
    HorizonTurn,
    KStar,
    Selector,
    TracedSource,
    Wording,
)
from pkv_interp.plots.curves import INTERVALS, Line, band, chance_line
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

_RIGHT = "share of decisions that follow the new value"
#: Methods by how they go about it, with a colour.
_GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("keep the cache", GREY, ("stale", "field_only")),
    ("recompute in place", ORANGE, ("recompute", "cacheblend", "epic", "suffix_recompute")),
    ("paste from the new prefill", PURPLE, ("oracle_patch",)),
    ("append an erratum", BLUE, ("erratum", "field_erratum", "auto")),
    ("read the field back", VERMILLION, ("read_back",)),
    ("lay the prompt out anew", GREEN, ("hoist", "full_reprefill")),
)
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "x", "cross", "hexagon")
_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY, INK)
_PLACES = {"early": "field before the rule", "late": "field after the rule"}
_SOURCES = {
    "field": ORANGE,
    "old notes": VERMILLION,
    "new tokens": GREEN,
    "erratum": BLUE,
    "question": PURPLE,
}
_ARMS = {
    "full_reprefill": ("re-prefill with the current value", GREY, "dot"),
    "erratum": ("an erratum a turn", BLUE, "solid"),
    "field_erratum": ("field refreshed and an erratum", GREEN, "dash"),
    "field_only": ("field refreshed only", VERMILLION, "dashdot"),
    "stale": ("nothing is told", PURPLE, "dot"),
}


def frontier_scatter(record: RunRecord) -> go.Figure:
    """P(correct) of each method against the share of the context that it recomputes."""
    frame = table(record, Frontier)
    figure = go.Figure()
    frame["value"] = frame["p_correct"]
    frame["ci_low"], frame["ci_high"] = frame["p_correct_ci_low"], frame["p_correct_ci_high"]
    for name, colour, members in _GROUPS:
        mine = [m for m in frame["method"] if str(m).partition("@")[0] in members]
        for at, method in enumerate(mine):
            part = pick(frame, method=method)
            figure.add_scatter(
                x=part["recompute_share"],
                y=part["value"],
                error_y=error_bars(part, colour),
                mode="markers",
                name=str(method),
                legendgroup=name,
                legendgrouptitle={"text": name},
                marker={"color": colour, "size": 11, "symbol": _SYMBOLS[at]},
                customdata=part[["kl", "latency_ms", "tokens"]],
                hovertemplate=f"{method}: %{{y:.3f}}<br>share %{{x:.3f}}, %{{customdata[2]:.0f}} tokens<br>"
                "KL %{customdata[0]:.3f}, %{customdata[1]:.0f} ms<extra></extra>",
            )
    figure.update_xaxes(title="tokens recomputed, as a share of the context", range=[-0.06, 1.12])
    figure.update_yaxes(title=_RIGHT, range=[-0.12, 1.14])
    # A legend that is longer than the figure is cut in a picture.
    height = 650 + 140 * ("read_back" in set(frame["method"]))
    figure.update_layout(legend={"x": 1.02, "y": 1.0, "groupclick": "togglegroup"}, width=1050, height=height)
    figure.update_layout(margin_r=230)
    sample = f"{sample_of(frame, 'scenario')}; bars: 95 % over families"
    return entitle(figure, record, "What an edit decides, and how much it recomputes", sample)


def sweep_heatmap(record: RunRecord) -> go.Figure:
    """P(correct) by selector and number of tokens recomputed beside the field."""
    frame = table(record, Selector)
    sizes = sorted(set(frame["k"]))
    order = list(dict.fromkeys(frame["selector"]))
    cells = [[float(pick(frame, selector=s, k=k)["value"].iloc[0]) for k in sizes] for s in order]
    figure = go.Figure(
        go.Heatmap(
            z=cells,
            x=[str(k) for k in sizes],
            y=[s.replace("_", " ") for s in order],
            zmin=0.0,
            zmax=1.0,
            colorscale="Viridis",
            texttemplate="%{z:.2f}",
            colorbar={"title": {"text": "P(correct)"}},
        )
    )
    full = float(table(record, KStar)["full"].iloc[0])
    figure.update_xaxes(title="tokens recomputed beside the field (K)", type="category")
    figure.update_yaxes(title="", autorange="reversed", automargin=True)
    sample = f"{sample_of(frame, 'scenario')}; full re-prefill {full:.2f}"
    return entitle(figure, record, "Which tokens must be recomputed, and how many", sample)


def wording_bars(record: RunRecord) -> go.Figure:
    """P(correct) by wording of the erratum, and what other errata do."""
    frame, other = table(record, Wording), table(record, ErratumArm)
    figure = go.Figure()
    for part, column, name, colour in (
        (frame, "wording", "wording of the erratum", BLUE),
        (other, "arm", f"other tests, wording '{other['wording'].iloc[0]}'", GREEN),
    ):
        figure.add_bar(
            x=[str(label).replace("_", " ") for label in part[column]],
            y=part["value"],
            error_y=error_bars(part, INK),
            name=name,
            marker={"color": colour},
        )
    chance_line(figure)
    figure.update_xaxes(tickangle=-35)
    figure.update_yaxes(title="share of right decisions", range=[0, 1.05])
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom"}, height=560, margin={"t": 120, "b": 170}
    )
    sample = f"{sample_of(frame, 'scenario')}; bars: 95 % over families"
    return entitle(figure, record, "Which errata are followed", sample)


def horizon_curves(record: RunRecord) -> go.Figure:
    """P(correct) by turn while the field changes every turn."""
    frame = table(record, HorizonTurn)
    figure = make_subplots(
        cols=2, shared_yaxes=True, subplot_titles=("turns with the new value", "with the old")
    )
    for method, (name, colour, dash) in _ARMS.items():
        part = pick(frame, method=method).sort_values("turn")
        for col in (1, 2):
            half = pick(part.assign(odd=part["turn"] % 2), odd=col % 2)
            if not half.empty:
                band(figure, half["turn"].tolist(), half, Line(name, colour, dash), col=col)
    figure.update_traces(showlegend=False, col=2)
    figure.update_xaxes(title="turn (the field changes in every one)")
    figure.update_yaxes(title="share of right decisions", range=[-0.03, 1.05], col=1)
    figure.update_layout(legend={**_ABOVE, "y": 1.1}, height=560, margin_t=190)
    sample = f"{sample_of(frame, 'scenario')}; {INTERVALS}"
    return entitle(figure, record, "A field that changes every turn, in one evolving cache", sample)


def frontier_lengths(record: RunRecord) -> go.Figure:
    """P(correct) of each method by prompt length, with the field before the rule and after it."""
    frame = table(record, FrontierByLength)
    places = [place for place in _PLACES if place in set(frame["place"])]
    titles = [_PLACES[place] for place in places]
    figure = make_subplots(cols=len(places), shared_yaxes=True, subplot_titles=titles)
    shown = [m for m in dict.fromkeys(frame["method"]) if m != "suffix_recompute"]
    for col, place in enumerate(places, start=1):
        for at, method in enumerate(shown):
            part = pick(frame, method=method, place=place).sort_values("context")
            dash = ("solid", "dash")[at // len(_COLOURS) % 2]
            figure.add_scatter(
                x=part["context"],
                y=part["value"],
                mode="lines+markers",
                name=str(method),
                line={"color": _COLOURS[at % len(_COLOURS)], "dash": dash},
                showlegend=col == 1,
                row=1,
                col=col,
            )
    figure.update_xaxes(title="tokens of the context")
    figure.update_yaxes(range=[-0.03, 1.05])
    figure.update_yaxes(title=_RIGHT, col=1)
    figure.update_layout(legend={"x": 1.02, "y": 1.0}, width=1000, margin={"r": 190, "t": 110})
    return entitle(figure, record, "The frontier by prompt length", str(sample_of(frame, "scenario")))


def margin_by_source(record: RunRecord) -> go.Figure:
    """What each source gives to the margin after each method, with the field before the rule and after it."""
    frame = table(record, TracedSource)
    places = [place for place in _PLACES if place in set(frame["place"])]
    figure = make_subplots(
        rows=len(places), shared_xaxes=True, subplot_titles=[_PLACES[place] for place in places]
    )
    for row, place in enumerate(places, start=1):
        for source, colour in _SOURCES.items():
            part = pick(frame, place=place, source=source)
            figure.add_bar(
                x=part["method"],
                y=part["value"],
                error_y=error_bars(part, INK),
                name=source,
                marker={"color": colour},
                legendgroup=source,
                offsetgroup=source,
                showlegend=row == 1,
                row=row,
                col=1,
            )
            unseen = part.dropna(subset=["lost_if_unseen"])
            figure.add_scatter(
                x=unseen["method"],
                y=unseen["lost_if_unseen"],
                mode="markers",
                name="hidden from the question too",
                marker={"color": "white", "size": 6, "line": {"color": INK, "width": 1.2}},
                legendgroup="unseen",
                offsetgroup=source,
                showlegend=row == 1 and source == "field" and len(unseen) > 0,
                row=row,
                col=1,
            )
        whole = pick(frame, place=place).drop_duplicates("method")
        figure.add_scatter(
            x=whole["method"],
            y=whole["margin"],
            mode="markers",
            name="margin as it stands",
            marker={"color": INK, "symbol": "diamond-open", "size": 9},
            showlegend=row == 1,
            row=row,
            col=1,
        )
    figure.update_xaxes(tickangle=-35, type="category", categoryarray=list(dict.fromkeys(frame["method"])))
    figure.update_yaxes(title="logits lost without it")
    figure.update_layout(
        legend={"x": 1.02, "y": 1.0},
        scattermode="group",
        width=1050,
        height=760,
        margin={"r": 210, "t": 110, "b": 120},
    )
    sample = f"{sample_of(frame, 'scenario')}; knockouts at the decision token; bars: 95 % over families"
    return entitle(figure, record, "Margin by source after each edit", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "frontier": frontier_scatter,
    "lengths": frontier_lengths,
    "k_sweep": sweep_heatmap,
    "wording": wording_bars,
    "horizon": horizon_curves,
    "sources": margin_by_source,
}
