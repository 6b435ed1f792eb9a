"""Effect by token: over the prompt's own words, and as bars."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float

from pkv_interp.plots.tables import RECOVERY, entitle, table
from pkv_interp.plots.theme import DIVERGING, GREY, INK, VERMILLION, WIDTH
from pkv_interp.plots.words import KIND_COLOURS, kind_runs, lay_out, shown
from pkv_interp.records import RunRecord
from pkv_interp.run.tokens import Token

_COLUMNS, _LINE, _FONT = 96, 40, 13
_MARGIN = {"l": 20, "r": 100, "t": 90, "b": 15}


def measured(frame: pd.DataFrame) -> Bool[np.ndarray, " tokens"]:
    """Which tokens were patched: those after the changed span and before the decision token."""
    position, changed = frame["position"].to_numpy(), frame["changed"].to_numpy(bool)
    return (position > position[changed].max()) & (position < position.max())


def _colours(values: Float[np.ndarray, " tokens"], reach: float) -> list[str]:
    """Colours of values between -reach and reach on the diverging scale."""
    stops = np.array([stop for stop, _ in DIVERGING], float)
    parts = np.array([[int(hexa[i : i + 2], 16) for i in (1, 3, 5)] for _, hexa in DIVERGING], float)
    at = np.clip(0.5 + values / (2 * reach), 0.0, 1.0)
    mixed = np.stack([np.interp(at, stops, parts[:, i]) for i in range(3)], axis=-1).round().astype(int)
    return [f"rgb({r},{g},{b})" for r, g, b in mixed.tolist()]


def token_text(record: RunRecord) -> go.Figure:
    """The example prompt's words in reading order, each coloured by the recovery of its position alone.

    Span kinds are underlined and named; the changed span is framed; words that were not patched are grey.
    """
    frame = table(record, Token).sort_values("position").reset_index(drop=True)
    live, changed = measured(frame), frame["changed"].to_numpy(bool)
    values = frame["recovery"].to_numpy(float)
    reach = max(float(np.abs(values[live]).max(initial=0.0)), 1e-9)
    cells = lay_out(frame["token"].tolist(), _COLUMNS)
    fills = _colours(values, reach)
    boxes = [
        {
            "type": "rect",
            "x0": c.column,
            "x1": c.column + c.width,
            "y0": c.line - 0.32,
            "y1": c.line + 0.30,
            "fillcolor": fills[i] if live[i] else "rgba(0,0,0,0)",
            "line": {"width": 2 if changed[i] else 0, "color": VERMILLION},
            "layer": "below",
        }
        for i, c in enumerate(cells)
        if live[i] or changed[i]
    ]
    runs = kind_runs(cells, frame["kind"].tolist())
    boxes += [
        {
            "type": "line",
            "x0": run.start + 0.1,
            "x1": run.end - 0.1,
            "y0": run.line + 0.37,
            "y1": run.line + 0.37,
            "line": {"width": 2.5, "color": KIND_COLOURS.get(run.kind, GREY)},
        }
        for run in runs
    ]
    dark = np.abs(values) > 0.75 * reach
    ink = ["white" if live[i] and dark[i] else INK if live[i] or changed[i] else "#8A8A8A"
           for i in range(len(frame))]  # fmt: skip
    figure = go.Figure(layout={"shapes": boxes})
    figure.add_scatter(
        x=[c.column + c.width / 2 for c in cells],
        y=[c.line for c in cells],
        mode="text",
        text=[c.text for c in cells],
        textfont={"family": "DejaVu Sans Mono, Menlo, Consolas, monospace", "size": _FONT, "color": ink},
        customdata=frame[["kind", "label", "recovery", "position"]],
        hovertemplate="position %{customdata[3]}, %{customdata[0]} (%{customdata[1]})<br>"
        "recovery %{customdata[2]:.3f}<extra></extra>",
    )
    figure.add_scatter(
        x=[run.start for run in runs if run.label],
        y=[run.line + 0.55 for run in runs if run.label],
        mode="text",
        text=[run.label for run in runs if run.label],
        textposition="middle right",
        textfont={"size": 9, "color": GREY},
        hoverinfo="skip",
    )
    bar = {"title": {"text": "recovery", "font": {"size": 13}}, "thickness": 14, "len": 0.9}
    figure.add_scatter(
        x=[None], y=[None], mode="markers", hoverinfo="skip",
        marker={"color": [0], "cmin": -reach, "cmax": reach, "colorscale": DIVERGING, "showscale": True,
                "colorbar": bar},
    )  # fmt: skip
    lines = cells[-1].line + 1
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        xaxis={**hidden, "range": [0, _COLUMNS]},
        yaxis={**hidden, "range": [lines - 0.2, -0.6]},
        showlegend=False,
        width=WIDTH,
        height=max(500, lines * _LINE + _MARGIN["t"] + _MARGIN["b"]),
        margin=_MARGIN,
    )
    example = f"one prompt ({frame['instance'][0]}); grey words were not patched, the framed one differs"
    return entitle(figure, record, "Recovery of single positions, over the prompt's own words", example)


def token_bars(record: RunRecord, *, most: int = 40) -> go.Figure:
    """Recovery of single positions as bars in reading order, the ``most`` largest where there are more."""
    frame = table(record, Token).sort_values("position").reset_index(drop=True)
    live = np.flatnonzero(measured(frame))
    values = frame["recovery"].to_numpy(float)
    kept = np.sort(live[np.argsort(-np.abs(values[live]), kind="stable")[:most]])
    words, kinds = frame["token"].tolist(), frame["kind"].to_numpy(str)
    figure = go.Figure()
    for kind in dict.fromkeys(kinds[kept].tolist()):
        at = np.flatnonzero(kinds[kept] == kind)
        figure.add_bar(
            x=at,
            y=values[kept[at]],
            name=kind,
            marker={"color": KIND_COLOURS.get(kind, GREY), "line": {"color": GREY, "width": 0.5}},
            customdata=frame.loc[kept[at], ["position", "label"]],
            hovertemplate="position %{customdata[0]} (%{customdata[1]})<br>recovery %{y:.3f}<extra></extra>",
        )
    figure.update_xaxes(
        tickvals=list(range(len(kept))),
        ticktext=[shown(words[i]).strip() or "␣" for i in kept], tickangle=-90,
        tickfont={"size": 12}, title="tokens in reading order",
    )  # fmt: skip
    figure.update_yaxes(title=RECOVERY, zeroline=True, zerolinecolor=GREY)
    figure.update_layout(bargap=0.15, margin={"b": 105}, legend={"title": {"text": "span kind"}})
    which = "all" if len(kept) == len(live) else f"the {len(kept)} largest of {len(live)}"
    example = f"one prompt ({frame['instance'][0]}), {which} patched positions"
    return entitle(figure, record, "Recovery of single positions, token by token", example)
