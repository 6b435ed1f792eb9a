"""A chunk in its new place: the text, both decisions, and the curve of repairs."""

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from dash import html

from experiments.explore.chunks import Cut, Moved, reordered
from experiments.explore.opened import Opened
from experiments.explore.views.look import dressed
from experiments.explore.views.prompt import signed
from experiments.explore.views.words import Children, shown, words
from pkv_interp.plots.theme import BLUE, ORANGE

_HEADS = ("prompt", "full prefill", "spliced", "decides", "KL to full")


def marked(found: Opened, cut: Cut) -> Children:
    """The clean prompt's words, the chunk coloured, each ready to be an end of another chunk."""
    prompt = found.pair.case.clean
    inside = range(cut.start, cut.stop)
    return words(prompt.tokens[:-1], prompt.kinds[:-1], inside=inside, framed=found.changed, pick=True)


def preview(found: Opened, cut: Cut) -> Children:
    """The text around the chunk in its new place."""
    tokens = reordered(range(len(found.pair.case.clean)), cut)
    text = found.pair.case.clean.tokens
    chunk = range(cut.to, cut.to + cut.length)
    first, last = max(0, chunk.start - 12), min(len(tokens), chunk.stop + 12)
    before, after = (
        "".join(shown(text[tokens[i]]) for i in part)
        for part in (range(first, chunk.start), range(chunk.stop, last))
    )
    moved = "".join(shown(text[tokens[i]]) for i in chunk)
    return [html.P(["… ", before, html.Mark(moved), after, " …"], className="mono preview")]


def table(found: Opened, made: Mapping[str, Mapping[int, Moved]], cut: Cut) -> Children:
    """Both prompts' decisions over the spliced cache."""
    head = html.Tr([html.Th(text, scope="col") for text in _HEADS])
    rows: list[Any] = []
    for side, value in (("clean", found.clean.value), ("corrupt", found.corrupt.value)):
        one = made[side][cut.repair]
        full, now = found.chosen_by(one.full), found.chosen_by(one.spliced)
        differs = html.Span(f" ≠ {full}", className="verdict wrong") if now != full else ""
        rows.append(
            html.Tr(
                [
                    html.Th(value, scope="row"),
                    html.Td(signed(one.full), className="number"),
                    html.Td(signed(one.spliced), className="number"),
                    html.Td([now, differs]),
                    html.Td(f"{one.kl:.4f}", className="number"),
                ]
            )
        )
    repaired = min(cut.repair, cut.length)
    return [
        html.Table([html.Thead(head), html.Tbody(rows)], className="results"),
        html.P(
            f"The chunk's {cut.length} tokens were prefilled alone and turned to their new place; {repaired} "
            "of them were run again there. The full prefill is of the same text in the same order.",
            className="dim",
        ),
    ]


def repairs(found: Opened, made: Mapping[str, Mapping[int, Moved]], dark: bool) -> go.Figure:
    """KL to the full prefill by repaired tokens."""
    figure = go.Figure()
    for side, colour, value in (("clean", BLUE, found.clean.value), ("corrupt", ORANGE, found.corrupt.value)):
        line = made[side]
        figure.add_scatter(
            x=[str(k) for k in line],
            y=[one.kl for one in line.values()],
            mode="lines+markers",
            name=value,
            line={"color": colour, "width": 2.5},
        )
    dressed(figure, "Repairing the seam", dark)
    figure.update_xaxes(title_text="first tokens of the chunk that are run again", type="category")
    figure.update_yaxes(title_text="KL (nats)", rangemode="tozero")
    return figure
