"""One figure of a sweep: a panel per headline, in it each model with its interval."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.sweep.compared import Compared, stated
from pkv_interp.plots.theme import BLUE, GREY, TEMPLATE, VERMILLION, WIDTH

_ACROSS = 3
_OPEN = "open red: the model failed the competence gate"
_LINE, _PANEL = 24, 90  # pixels of a model's line, and of what else a panel has


def over_models(experiment: str, columns: Sequence[Compared], headlines: Sequence[str] | None) -> go.Figure:
    """Headlines with 95 % intervals over families; what a model that failed the gate states is open and red.

    Args:
        experiment: its name.
        columns: the records, drawn from the top.
        headlines: names, None for all.

    Raises:
        PkvError: none of the records states a headline that is wanted.
    """
    known = stated(columns, headlines)
    rows = -(-len(known) // _ACROSS)
    height = _LINE * len(columns) + _PANEL
    figure = make_subplots(
        rows=rows,
        cols=min(_ACROSS, len(known)),
        shared_yaxes=True,
        subplot_titles=[name.replace("_", " ") for name in known],
        horizontal_spacing=0.03,
        vertical_spacing=min(0.5 * _PANEL / height, 0.9 / max(rows - 1, 1)) / max(rows, 1),
    )
    for index, name in enumerate(known):
        place: dict[str, Any] = {"row": index // _ACROSS + 1, "col": index % _ACROSS + 1}
        for failed in (False, True):
            _points(figure, [one for one in columns if one.failed is failed], name, place)
        figure.add_vline(x=0.0, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below", **place)
    labels = [column.label for column in columns]
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], range=[-0.6, len(labels) - 0.4])
    figure.update_annotations(font_size=12)
    gated = f", {_OPEN}" if any(column.failed for column in columns) else ""
    figure.update_layout(
        template=TEMPLATE,
        title={
            "text": f"<b>{experiment} over {len(columns)} models</b>",
            "subtitle": {"text": f"headlines with 95 % intervals over families{gated}"},
        },
        width=max(WIDTH, 1100),
        height=130 + rows * height,
        showlegend=False,
        margin={"l": 40 + 7 * max(map(len, labels)), "t": 110},
    )
    return figure


def _points(figure: go.Figure, columns: Sequence[Compared], name: str, place: dict[str, int]) -> None:
    told = [(one.label, one.record.headline[name]) for one in columns if name in one.record.headline]
    if not told:
        return
    failed = columns[0].failed
    colour = VERMILLION if failed else BLUE
    figures = [figure for _, figure in told]
    figure.add_scatter(
        x=[one.value for one in figures],
        y=[label for label, _ in told],
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": "circle-open" if failed else "circle"},
        error_x={
            "type": "data",
            "array": [0.0 if one.ci_high is None else one.ci_high - one.value for one in figures],
            "arrayminus": [0.0 if one.ci_low is None else one.value - one.ci_low for one in figures],
            "color": colour,
            "thickness": 1.5,
        },
        customdata=[str(one) for one in figures],
        hovertemplate="%{y}: %{customdata}<extra>" + name + "</extra>",
        **place,
    )
