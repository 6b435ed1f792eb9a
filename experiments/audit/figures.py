"""Figures of the audit: kinds of findings by experiment, and pairs by whether their decision changes."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from experiments.audit.tables import GroupLine, KindLine, PairLine
from pkv_interp.plots.tables import entitle
from pkv_interp.plots.theme import BLUE, INK, LEGEND_ABOVE, ORANGE
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import rows_of

#: Columns of the first figure, in two lines each.
_WORDS = {
    "decision_never_changes": "decision<br>never changes",
    "zero_width_interval": "interval<br>without width",
    "agreement_at_accuracy_0": "agreement<br>at accuracy 0",
    "denominator_under_noise": "gap under<br>the noise",
    "ranked_and_scored_together": "ranked and<br>scored together",
    "missing_n": "no n",
}
_WHITE_TO_ORANGE = [[0.0, "#FFFFFF"], [1.0, ORANGE]]
_ROW = 22  # pixels of an experiment or a record
_ABOVE = 125  # pixels of title and column names
#: How a record says what was decided: the two-way margins of both sides.
_MARGINS = "margins"


def by_experiment(record: RunRecord) -> go.Figure:
    """Records with a finding of each kind, of how many, by experiment; expected findings are left out."""
    lines = {(line.group, line.kind): line for line in rows_of(record, GroupLine)}
    groups = list(dict.fromkeys(group for group, _ in lines))[::-1]
    kinds = [kind for kind in _WORDS if any(lines[group, kind].with_findings for group in groups)]
    cells = [[lines[group, kind] for kind in kinds] for group in groups]
    figure = go.Figure()
    figure.add_heatmap(
        x=[_WORDS[kind] for kind in kinds],
        y=groups,
        z=[[cell.with_findings / cell.records for cell in row] for row in cells],
        text=[[_of(cell) for cell in row] for row in cells],
        texttemplate="%{text}",
        textfont={"size": 12, "color": INK},
        zmin=0.0,
        zmax=1.0,
        colorscale=_WHITE_TO_ORANGE,
        showscale=False,
        xgap=2,
        ygap=2,
    )
    figure.update_xaxes(side="top", ticks="", showgrid=False)
    figure.update_yaxes(automargin=True, ticks="", showgrid=False, tickfont={"size": 12})
    figure.update_layout(height=_ABOVE + 40 + _ROW * len(groups), margin={"t": _ABOVE + 10, "b": 30})
    found = sum(line.findings for line in rows_of(record, KindLine))
    told = f"{found} findings; in each cell: records with one or more, of how many"
    return entitle(figure, record, "What published records say of their own numbers", told)


def _of(cell: GroupLine) -> str:
    return f"{cell.with_findings} of {cell.records}" if cell.with_findings else ""


def pairs(record: RunRecord) -> go.Figure:
    """Pairs whose two margins the record gives, by whether their signs differ."""
    lines = [line for line in rows_of(record, PairLine) if line.told_by == _MARGINS]
    # Upwards: the lowest share of changes stands at the top.
    lines.sort(key=lambda line: (-line.changed / line.pairs, line.record))
    names = [line.record.removesuffix(".json") for line in lines]
    figure = go.Figure()
    for words, counts, colour in (
        ("sign changes", [line.changed for line in lines], BLUE),
        ("sign stays: one decision on both sides", [line.pairs - line.changed for line in lines], ORANGE),
    ):
        figure.add_bar(
            x=counts,
            y=names,
            orientation="h",
            name=words,
            marker={"color": colour, "line": {"color": "white", "width": 1}},
        )
    for name, line in zip(names, lines, strict=True):
        figure.add_annotation(
            x=line.pairs,
            y=name,
            text=f" {line.change}",
            showarrow=False,
            xanchor="left",
            font={"size": 12},
        )
    figure.update_xaxes(title="pairs", range=[0, 1.12 * max((line.pairs for line in lines), default=1)])
    figure.update_yaxes(automargin=True, tickfont={"size": 12})
    figure.update_layout(
        barmode="stack",
        height=_ABOVE + 65 + _ROW * len(names),
        legend=LEGEND_ABOVE | {"traceorder": "normal"},
        margin={"t": _ABOVE},
    )
    total = sum(line.pairs for line in lines)
    told = f"{total} pairs in {len(names)} records; beside the bars: pairs that change"
    return entitle(figure, record, "Published pairs: does the two-way decision change?", told)


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"by_experiment": by_experiment, "pairs": pairs}
