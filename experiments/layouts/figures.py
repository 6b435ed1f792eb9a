"""Figure of the experiment: competence by layout."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from experiments.layouts.tables import ALL, Choice, FamilyLine, LayoutLine
from pkv_interp.plots.tables import entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, GREY, INK, LEGEND_ABOVE, ORANGE
from pkv_interp.records import RunRecord

_KINDS = {"field": ("field flipped", BLUE), "polarity": ("rule's trigger flipped", ORANGE)}
_BAR = 0.36  # height of a bar, in layouts
_ROW = 46  # pixels of a layout


def by_layout(record: RunRecord) -> go.Figure:
    """Share of pairs right on both sides by layout and kind, with every family as a point."""
    lines, families = table(record, LayoutLine), table(record, FamilyLine)
    order = pick(lines, kind=ALL)
    names = order["layout"].tolist()[::-1]  # the best one at the top
    late = set(pick(order, order="late")["layout"])
    place = {name: number for number, name in enumerate(names)}
    kinds = [kind for kind in _KINDS if kind in set(lines["kind"])]
    figure = go.Figure()
    for number, kind in enumerate(kinds):
        words, colour = _KINDS[kind]
        mine, points = pick(lines, kind=kind), pick(families, kind=kind)
        of = points["layout"].tolist()
        shift = _BAR * ((len(kinds) - 1) / 2 - number)
        figure.add_bar(
            x=mine["value"],
            y=[place[name] + shift for name in mine["layout"]],
            width=_BAR * 0.9,
            error_x=error_bars(mine, INK),
            orientation="h",
            name=words,
            marker_color=colour,
        )
        figure.add_scatter(
            x=points["right"],
            y=[place[name] + shift + aside for name, aside in zip(of, _spread(of), strict=True)],
            mode="markers",
            marker={"color": "white", "size": 5, "line": {"color": INK, "width": 1}},
            showlegend=False,
            hovertext=points["family"],
        )
    figure.add_vline(
        x=float(table(record, Choice)["least"].iloc[0]),
        line={"color": GREY, "width": 1, "dash": "dot"},
        layer="below",
    )
    figure.update_xaxes(title="share of pairs right on both sides", range=[-0.03, 1.03])
    figure.update_yaxes(
        tickvals=list(place.values()),
        ticktext=[f"{name} (field late)" if name in late else name for name in names],
        range=[-0.7, len(names) - 0.3],
        automargin=True,
    )
    figure.update_layout(
        barmode="overlay",
        height=170 + _ROW * len(names),
        # A fixed distance above the plot, however tall: in shares of its height it would reach the title.
        legend=LEGEND_ABOVE | {"y": 1.0 + 6.0 / (_ROW * len(names)), "yanchor": "bottom"},
        margin={"t": 125},
    )
    sample = f"{sample_of(order, 'discovery')} a layout; points: families; bars: 95 % over families"
    return entitle(figure, record, "Layouts that the model follows", sample)


def _spread(names: Sequence[str]) -> list[float]:
    """Offsets that keep a layout's points apart, evenly over the height of its bar."""
    count = {name: names.count(name) for name in names}
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(float(np.interp(seen[name], [1, max(2, count[name])], [-0.14, 0.14])))
    return out


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"by_layout": by_layout}
