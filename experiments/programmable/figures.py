"""Figures of the experiment on programmable caches."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from experiments.programmable.inside_figures import COLOURS, closed_paths, conflict, decodability, hops
from experiments.programmable.tables import ArmLine, CostLine, JoinLine
from pkv_interp.plots.curves import chance_line
from pkv_interp.plots.tables import entitle, error_bars, largest, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREEN, GREY, INK, LEGEND_ABOVE, ORANGE, PURPLE, VERMILLION
from pkv_interp.records import RunRecord

_ARMS = {
    "full": "plain<br>prefill",
    "field_only": "plain field,<br>refreshed",
    "full_isolated": "isolated<br>prefill",
    "field_only_isolated": "isolated field,<br>edited",
    "rule_linked": "isolated field<br>and its rule",
    "read_field_only_isolated": "isolated,<br>edited,<br>read back",
    "read_field_only": "plain,<br>refreshed,<br>read back",
}
_COSTS = {
    "isolated": ("isolated field", GREEN),
    "isolated_read": ("isolated field, read back", PURPLE),
    "rule_linked": ("isolated field and its rule", BLUE),
    "field_last": ("prefix cache, the field last", INK),
    "tagged_erratum": ("tagged erratum", ORANGE),
    "recompute_32": ("32 tokens recomputed", VERMILLION),
    "full": ("whole prompt", GREY),
}


def decisions(record: RunRecord) -> go.Figure:
    """Right decisions by pattern and way to edit, per model, in the shortest prompts."""
    frame = table(record, ArmLine)
    short = pick(frame, fillers=int(min(frame["fillers"].tolist())))
    figure, at = go.Figure(), list(_ARMS)
    shown = [role for role in COLOURS if role in set(short["role"])]
    for number, role in enumerate(shown):
        colour = COLOURS[role]
        for place, symbol, aside in (("early", "circle", 0.0), ("late", "diamond-open", 0.5)):
            part = pick(short, role=role, place=place)
            part = pd.DataFrame(part[part["arm"].isin(at)])
            if part.empty:
                continue
            figure.add_scatter(
                # Side by side, since many models have the same share.
                x=[at.index(arm) + 0.8 * ((number + aside + 0.25) / len(shown) - 0.5) for arm in part["arm"]],
                y=part["value"],
                error_y=error_bars(part, colour),
                mode="markers",
                name=f"{role}, field {place}",
                marker={"color": colour, "size": 10, "symbol": symbol},
            )
    chance_line(figure)
    names = list(_ARMS.values())
    figure.update_xaxes(title="", tickvals=list(range(len(at))), ticktext=names, tickangle=0)
    figure.update_yaxes(title="right decisions", range=[0.0, 1.05])
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 165, "b": 95})
    sample = f"{sample_of(short, 'held-out')} a model and place; bars: 95 % over families"
    return entitle(figure, record, "Edits under an attention pattern", sample)


def cost(record: RunRecord) -> go.Figure:
    """Tokens of edits with their decisions, added up."""
    frame = table(record, CostLine)
    figure = go.Figure()
    for arm, (name, colour) in _COSTS.items():
        part = pick(frame, arm=arm)
        if part.empty:
            continue
        figure.add_scatter(
            x=part["edits"], y=part["tokens"], mode="lines+markers", name=name, line={"color": colour}
        )
    figure.update_xaxes(title="edits, each with a decision")
    figure.update_yaxes(title="tokens run, added up", type="log")
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 150})
    return entitle(figure, record, "What editing again and again costs", f"{largest(frame, 'n')} contexts")


def joined(record: RunRecord) -> go.Figure:
    """Time to the first token of a prompt with more and more chunks in it."""
    frame = table(record, JoinLine)
    figure = go.Figure()
    for column, name, colour in (
        ("spliced_ms", "chunks spliced, the rest run", GREEN),
        ("blind_ms", "prefill under the same pattern", BLUE),
        ("plain_ms", "plain prefill", GREY),
    ):
        figure.add_scatter(
            x=frame["chunks"], y=frame[column], mode="lines+markers", name=name, line={"color": colour}
        )
    figure.update_xaxes(title="chunks in the prompt")
    figure.update_yaxes(title="ms to the first token", type="log")
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 150})
    sample = f"{largest(frame, 'n_families')} prompts of each; on a CPU, time of its threads added up"
    return entitle(figure, record, "Chunks that were prefilled ahead", sample)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {
    "decisions": decisions,
    "cost": cost,
    "joined": joined,
    "conflict": conflict,
    "hops": hops,
    "decodability": decodability,
    "paths": closed_paths,
}
