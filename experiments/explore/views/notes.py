"""Effects of words: the prompt's words coloured, bars beside attention, and the grid of layers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import html
from jaxtyping import Float
from plotly.subplots import make_subplots

from experiments.explore.notes import Joint
from experiments.explore.opened import Opened
from experiments.explore.views.look import dressed, scale
from experiments.explore.views.prompt import share, signed
from experiments.explore.views.words import Children, shown, words
from pkv_interp.plots.theme import BLUE, ORANGE

#: Words up to which they are written along an axis.
_LABELLED = 70


def coloured(found: Opened, effects: Float[np.ndarray, " notes"]) -> Children:
    """The clean prompt's words, those of the notes coloured by recovery and ready to be chosen."""
    case = found.pair.case
    by_position = dict(zip(found.notes, effects.tolist(), strict=True))
    return words(case.clean.tokens, case.clean.kinds, effects=by_position, framed=found.changed, pick=True)


def joint(found: Opened, made: Joint, n_words: int) -> Children:
    """What the decision becomes with the chosen words patched, beside what it is held against."""
    lines: list[tuple[str, float, str]] = []
    if made.words is not None:
        noun = "word" if n_words == 1 else "words"
        lines.append((f"the {n_words} chosen {noun}", made.words, "chosen"))
    lines += [
        ("all words after the change", made.notes, ""),
        ("the changed words alone", made.changed, ""),
        ("both: the first prompt again", made.everything, ""),
        ("both, from itself: nothing may move", made.itself, "dim"),
    ]
    head = html.Tr([html.Th(text, scope="col") for text in ("patched", "margin", "recovery", "decides")])
    rows = [
        html.Tr(
            [
                html.Th(text, scope="row"),
                html.Td(signed(margin), className="number"),
                html.Td(share(found.recovery(margin)), className="number"),
                html.Td(found.chosen_by(margin)),
            ],
            className=style,
        )
        for text, margin, style in lines
    ]
    ask = [] if made.words is not None else [html.P("Choose words above to patch them together.")]
    return [*ask, html.Table([html.Thead(head), html.Tbody(rows)], className="results")]


def by_word(
    found: Opened, effects: Float[np.ndarray, " notes"], layers: Sequence[int] | None, dark: bool
) -> go.Figure:
    """Recovery of single words above, the decision's attention on them below."""
    attention = (found.attention if layers is None else found.attention[list(layers)]).mean(0)
    x = list(range(len(found.notes)))
    names = _names(found)
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08, row_heights=[0.6, 0.4])
    hover = {"customdata": names, "hovertemplate": "%{customdata}<br>%{y:.3f}<extra>%{fullData.name}</extra>"}
    figure.add_bar(x=x, y=effects, name="recovery", marker_color=ORANGE, row=1, col=1, **hover)
    figure.add_bar(
        x=x, y=attention[list(found.notes)], name="attention", marker_color=BLUE, row=2, col=1, **hover
    )
    figure.update_layout(bargap=0.1)
    dressed(figure, "What words do, and what the decision looks at", dark, height=400)
    figure.update_yaxes(title_text="recovery", row=1, col=1)
    figure.update_yaxes(title_text="attention", row=2, col=1)
    _label(figure, found, {"row": 2, "col": 1})
    return figure


def grid(found: Opened, effects: Float[np.ndarray, "layers notes"], dark: bool) -> go.Figure:
    """Recovery by layer and word."""
    reach = float(np.nanmax(np.abs(effects), initial=1e-9)) if np.isfinite(effects).any() else 1.0
    figure = go.Figure()
    figure.add_heatmap(
        z=effects,
        customdata=np.tile(np.array(_names(found), dtype=object), (effects.shape[0], 1)),
        colorscale=scale(dark),
        zmin=-reach,
        zmax=reach,
        colorbar={"title": {"text": "recovery"}, "thickness": 10},
        hovertemplate="%{customdata}, layer %{y}<br>recovery %{z:.3f}<extra></extra>",
    )
    dressed(figure, "One word in one layer", dark, height=420)
    figure.update_yaxes(title_text="layer")
    _label(figure, found, {})
    return figure


def _names(found: Opened) -> list[str]:
    tokens = found.pair.case.clean.tokens
    return [f"word {p} {shown(tokens[p]).strip()}" for p in found.notes]


def _label(figure: go.Figure, found: Opened, place: dict[str, Any]) -> None:
    """The words along the axis, where there is room for them."""
    tokens = found.pair.case.clean.tokens
    if len(found.notes) <= _LABELLED:
        figure.update_xaxes(
            tickvals=list(range(len(found.notes))),
            ticktext=[shown(tokens[p]).strip() or "␣" for p in found.notes],
            tickangle=-90,
            tickfont={"size": 10},
            **place,
        )
    else:
        figure.update_xaxes(title_text="words after the change, in reading order", **place)
