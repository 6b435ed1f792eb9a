"""Figures of the composing experiment: what a transplant keeps, what repairs it and what it saves."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.composing.tables import CurveArm, Fidelity, FirstToken, WindowCause
from pkv_interp.plots.curves import Line, band
from pkv_interp.plots.tables import entitle, error_bars, estimates, has_interval, largest, pick, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.records import RunRecord

_CONDITIONS = {
    "rule": "policy, field after it",
    "rule_after_field": "policy, field before it",
    "facts": "facts, policy after them",
    "facts_after_rule": "facts, policy before them",
    "tools": "tool block",
    "all": "all three",
    "system_area": "policy in the system message",
    "mid_trajectory": "policy in a later turn",
    "lookup": "facts that are read back",
}
_SHOWN = (
    ("transplant", "transplant", BLUE),
    ("behind_other_side", "made after the other value", VERMILLION),
    ("no_rotation", "no rotation", GREY),
    ("seam1", "first token recomputed", ORANGE),
    ("cacheblend", "CacheBlend", GREEN),
)
_FACTORS = {"sink": "sink", "rope_per_layer": "rope per layer", "window": "window"}


def _count(frame: pd.DataFrame) -> str:
    return f"{largest(frame, 'n_families')} families, up to {largest(frame, 'n')} prompts"


def fidelity_bars(record: RunRecord) -> go.Figure:
    """Agreement with the full prefill and KL from it, by what is moved and by arm."""
    frame = table(record, Fidelity)
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.05)
    order = list(dict.fromkeys(frame["condition"]))[::-1]
    for arm, name, colour in _SHOWN:
        mine = pick(frame, arm=arm).set_index("condition").reindex(order).dropna(subset=["kl"])
        names = [_CONDITIONS.get(c, c) for c in mine.index]
        for col, quantity in ((1, "agreement"), (2, "kl")):
            part = estimates(mine, quantity)
            figure.add_bar(
                x=part["value"],
                y=names,
                error_x=error_bars(part, INK),
                orientation="h",
                name=name,
                legendgroup=name,
                showlegend=col == 1,
                marker_color=colour,
                row=1,
                col=col,
            )
    figure.update_xaxes(title="agreement, full prefill right", range=[0, 1.05], row=1, col=1)
    figure.update_xaxes(title="KL from the full prefill (nats)", rangemode="tozero", row=1, col=2)
    figure.add_vline(x=0.5, line={"color": GREY, "width": 1, "dash": "dot"}, row=1, col=1)  # type: ignore[arg-type]
    figure.update_yaxes(title="what is moved", automargin=True, row=1, col=1)
    figure.update_layout(
        barmode="group", legend={**LEGEND_ABOVE, "traceorder": "normal"}, height=680, margin={"t": 185}
    )
    return entitle(figure, record, "What a transplant keeps", f"{_count(frame)}; bars: 95 % over families")


def seam_curve(record: RunRecord) -> go.Figure:
    """Agreement and KL by how many first tokens of the chunk are recomputed; 0 is the transplant."""
    frame = table(record, Fidelity)
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.12)
    shown = (
        ("rule", BLUE, "solid"),
        ("rule_after_field", VERMILLION, "solid"),
        ("facts", SKY, "dash"),
        ("facts_after_rule", ORANGE, "dash"),
        ("all", PURPLE, "dot"),
    )
    sizes: set[int] = set()
    for condition, colour, dash in shown:
        mine = pick(frame, condition=condition)
        if not len(mine):
            continue
        k = mine["arm"].str.extract(r"^(?:seam|epic)(\d+)$")[0].where(mine["arm"] != "transplant", "0")
        mine = mine.assign(k=pd.to_numeric(k)).dropna(subset=["k"]).sort_values("k")
        sizes |= {int(one) for one in mine["k"]}
        for col, quantity in ((1, "agreement"), (2, "kl")):
            part = estimates(mine, quantity).assign(k=mine["k"]).dropna(subset=["value"])
            # 0 has no place on a logarithmic axis: everything is moved up by one.
            at = [float(one) + 1 for one in part["k"]]
            name = _CONDITIONS[condition]
            if has_interval(part):
                band(figure, at, part, Line(name, colour, dash), col=col)
    _one_legend(figure)
    ticks = sorted(sizes)
    figure.update_xaxes(
        type="log",
        tickvals=[k + 1 for k in ticks],
        ticktext=[str(k) for k in ticks],
        title="first tokens recomputed (of each chunk)",
    )
    figure.update_yaxes(title="agreement, full prefill right", range=[0, 1.05], row=1, col=1)
    figure.update_yaxes(title="KL from the full prefill (nats)", rangemode="tozero", row=1, col=2)
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 140})
    sample = f"{_count(frame)}; bands: 95 % over families"
    return entitle(figure, record, "Repairing the seam", sample)


def _one_legend(figure: go.Figure) -> None:
    """Show each name of the legend once."""
    seen: set[str] = set()
    for trace in figure.data:
        name = str(trace.name or "")  # type: ignore[union-attr]
        if name:
            trace.showlegend = name not in seen  # type: ignore[union-attr]
            seen.add(name)


def first_token_time(record: RunRecord) -> go.Figure:
    """Seconds to the first token by prompt length, full prefill and splice, with the fitted exponents."""
    frame = table(record, FirstToken).sort_values("length")
    figure = go.Figure()
    for arm, label, colour, exponent in (
        ("full", "full prefill", VERMILLION, "ttft_exponent"),
        ("composed", "prefix, splice and suffix", BLUE, "ttft_exponent_composed"),
    ):
        part = estimates(frame, arm)
        fitted = record.headline.get(exponent)
        name = label if fitted is None else f"{label} (exponent {fitted})"
        band(figure, frame["length"].tolist(), part, Line(name, colour))
    lengths = frame["length"].tolist()
    figure.update_xaxes(
        type="log", title="tokens in the prompt", tickvals=lengths, ticktext=[str(n) for n in lengths]
    )
    figure.update_yaxes(type="log", title="seconds to the first token")
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 140})
    rounds, suffix = largest(frame, "n_instances"), largest(frame, "suffix")
    sample = f"{rounds} rounds, each of one family's text; {suffix} tokens after the chunk; last logit only"
    return entitle(figure, record, "Time to the first token", sample)


def transplant_growth(record: RunRecord) -> go.Figure:
    """KL of the transplant by length of the chunk, by how far it is moved, and by number of skills."""
    frame = pick(table(record, CurveArm), arm="transplant")
    figure = make_subplots(rows=1, cols=3, shared_yaxes=True, horizontal_spacing=0.05)
    for col, (curve, column, title) in enumerate(
        (
            ("chunk_fillers", "chunk", "tokens in the chunk"),
            ("distance_fillers", "moved", "positions moved by"),
            ("skills", "size", "policies spliced"),
        ),
        start=1,
    ):
        mine = pick(frame, curve=curve).sort_values("size")
        part = estimates(mine, "kl")
        band(figure, mine[column].tolist(), part, Line(curve, BLUE), col=col)
        figure.update_xaxes(title=title, row=1, col=col)
    figure.update_yaxes(title="KL from the full prefill (nats)", rangemode="tozero", row=1, col=1)
    figure.update_layout(showlegend=False)
    sample = f"{_count(frame)} a point; bands: 95 % over families"
    return entitle(figure, record, "Transplants of more, further, and several at once", sample)


def window_diagnosis(record: RunRecord) -> go.Figure:
    """KL of a transplant in a model with sliding windows, by which of three causes are handled."""
    frame = table(record, WindowCause)
    figure = go.Figure()
    models = list(dict.fromkeys(frame["model"]))
    for model, colour in zip(models, (BLUE, ORANGE, GREEN), strict=False):
        mine = pick(frame, model=model)
        names = [
            " + ".join(name for column, name in _FACTORS.items() if line[column]) or "none"
            for line in mine.to_dict("records")
        ]
        figure.add_bar(
            x=mine["value"],
            y=names,
            error_x=error_bars(mine, INK),
            orientation="h",
            name=model,
            marker_color=colour,
        )
    figure.update_xaxes(title="KL from the full prefill (nats)", rangemode="tozero")
    figure.update_yaxes(title="causes handled", automargin=True, autorange="reversed")
    figure.update_layout(barmode="group", showlegend=len(models) > 1, legend=LEGEND_ABOVE)
    sample = f"{', '.join(models)}; {largest(frame, 'n_families')} prompts; bars: 95 %"
    return entitle(figure, record, "Which cause breaks a transplant under sliding windows", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "fidelity": fidelity_bars,
    "seam": seam_curve,
    "growth": transplant_growth,
    "first_token": first_token_time,
    "diagnosis": window_diagnosis,
}
