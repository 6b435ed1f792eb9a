"""The prompt's words along an axis, with the kinds of their spans coloured below them."""

from collections.abc import Sequence

import plotly.graph_objects as go

from pkv_interp.plots.theme import GREY
from pkv_interp.plots.words import KIND_COLOURS, shown

_SMALL_FROM = 80  # words, from which on they are set smaller


def mark_words(figure: go.Figure, words: Sequence[str], kinds: Sequence[str], *, panel: int = 1) -> None:
    """Label an x axis that counts tokens from 0 with their words, draw the spans below, name the kinds.

    Args:
        figure: to draw on.
        words: of each token.
        kinds: of each token.
        panel: number of the lowest panel of a column that shares its x axis; the words stand there.
    """
    end = "" if panel == 1 else str(panel)
    for first, stop, kind in runs(kinds):
        figure.add_shape(
            type="line",
            x0=first - 0.45,
            x1=stop - 0.55,
            y0=-0.012,
            y1=-0.012,
            yref="paper",
            xref=f"x{end}",
            line={"width": 5, "color": KIND_COLOURS.get(kind, GREY)},
        )
    for kind in dict.fromkeys(kinds):
        figure.add_scatter(
            x=[None],
            y=[None],
            xaxis=f"x{end}",
            yaxis=f"y{end}",
            mode="markers",
            marker={"symbol": "square", "size": 10, "color": KIND_COLOURS.get(kind, GREY)},
            name=kind,
            showlegend=True,
        )
    figure.update_xaxes(showgrid=False, ticks="", range=[-0.5, len(words) - 0.5])
    figure.layout[f"xaxis{end}"].update(
        tickvals=list(range(len(words))),
        ticktext=[shown(word).strip() or "␣" for word in words],
        tickangle=-90,
        tickfont={"size": 9 if len(words) <= _SMALL_FROM else 6},
        ticklabelstandoff=6,
    )


def runs(kinds: Sequence[str]) -> list[tuple[int, int, str]]:
    """Half-open runs of equal kinds."""
    starts = [i for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]
    return [(i, j, kinds[i]) for i, j in zip(starts, [*starts[1:], len(kinds)], strict=True)]
