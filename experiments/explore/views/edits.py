"""Edits side by side, and a chain of them as a timeline."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from dash import html

from experiments.explore.edits import FULL, Compared, Link, Tried
from experiments.explore.views.look import dressed
from experiments.explore.views.prompt import signed
from experiments.explore.views.words import Children
from pkv_interp.plots.theme import BLUE, GREY, ORANGE, SKY

#: A table that is wider than a telephone can be scrolled by keys, too.
_SCROLLED: dict[str, Any] = {
    "className": "scroll",
    "tabIndex": 0,
    "role": "region",
    "aria-label": "methods side by side",
}
_PLACES = ("top right", "bottom right", "middle right", "top center")
_HEADS = ("method", "decides", "margin", "KL to full", "tokens run", "time")


def table(found: Compared) -> Children:
    """A line for each method."""
    choice, margin = found.before
    full = next((one.choice for one in found.tried if one.method == FULL), None)
    head = html.Tr([html.Th(text, scope="col") for text in _HEADS])
    rows = [
        html.Tr(
            [
                html.Th("before the edit", scope="row"),
                html.Td(choice),
                html.Td(signed(margin), className="number"),
                *(html.Td("") for _ in range(3)),
            ],
            className="dim",
        ),
        *(_row(one, full) for one in found.tried),
    ]
    return [
        html.Div(html.Table([html.Thead(head), html.Tbody(rows)], className="results"), **_SCROLLED),
        html.P(
            "KL, in nats, is that of the full re-prefill's next-token distribution from the method's. "
            "Times are of this one run on this machine.",
            className="dim",
        ),
    ]


def _row(one: Tried, full: str | None) -> Any:
    name = html.Th(one.method, scope="row", className="mono")
    if one.refused:
        return html.Tr([name, html.Td(one.refused, colSpan=len(_HEADS) - 1, className="dim")])
    differs = full is not None and one.choice != full
    setup = f" (+{one.setup} once)" if one.setup else ""
    return html.Tr(
        [
            name,
            html.Td([one.choice, html.Span(" ≠ full", className="verdict wrong") if differs else ""]),
            html.Td(signed(one.margin), className="number"),
            html.Td(f"{one.kl:.4f}", className="number"),
            html.Td(f"{one.tokens}{setup}", className="number"),
            html.Td(f"{one.milliseconds:.0f} ms", className="number"),
        ]
    )


def bars(found: Compared, dark: bool) -> go.Figure:
    """KL to the full re-prefill against tokens run: cheap and close is at the lower left."""
    tried = [one for one in found.tried if not one.refused]
    most = max((one.tokens for one in tried), default=0)
    figure = go.Figure()
    figure.add_scatter(
        x=[one.tokens for one in tried],
        y=[one.kl for one in tried],
        text=[one.method for one in tried],
        mode="markers+text",
        # Cheap methods lie close together: their names go round their marks.
        textposition=[
            _PLACES[i % len(_PLACES)] if 2 * one.tokens < most else "top left" for i, one in enumerate(tried)
        ],
        textfont={"size": 11},
        marker={
            "size": 11,
            "color": [GREY if one.method == FULL else ORANGE if dark else BLUE for one in tried],
        },
        hovertemplate="%{text}<br>%{x} tokens, KL %{y:.4f}<extra></extra>",
        cliponaxis=False,
    )
    dressed(figure, "Distance from a full re-prefill by work", dark)
    figure.update_xaxes(title_text="tokens run", rangemode="tozero")
    figure.update_yaxes(title_text="KL (nats)", rangemode="tozero")
    return figure


def timeline(links: Sequence[Link]) -> Children:
    """The chain's steps in order, each with what is decided after it."""
    if not links:
        return [html.P("No steps yet.", className="dim")]
    return [html.Ol([html.Li(_step(link)) for link in links], className="timeline")]


def _step(link: Link) -> Children:
    head = html.Span(
        [html.Span(link.step.method, className="mono"), f": {link.step.field} → {link.step.value}"]
    )
    if link.after.refused:
        return [head, html.Span(link.after.refused, className="verdict wrong")]
    agrees = link.after.choice == link.full[0]
    return [
        head,
        html.Span(
            f"{'✓' if agrees else '✗'} decides {link.after.choice}, full re-prefill {link.full[0]}",
            className=f"verdict {'right' if agrees else 'wrong'}",
        ),
        html.Span(
            f"margin {signed(link.after.margin)} (full {signed(link.full[1])}), KL {link.after.kl:.4f}, "
            f"{link.after.tokens} tokens run",
            className="dim number",
        ),
    ]


def chain(links: Sequence[Link], dark: bool) -> go.Figure:
    """Margins along the chain, beside those of full re-prefills."""
    done = [link for link in links if not link.after.refused]
    x = list(range(1, len(done) + 1))
    figure = go.Figure()
    figure.add_scatter(
        x=x, y=[link.full[1] for link in done], name="full re-prefill", line={"color": GREY, "dash": "dot"}
    )
    figure.add_scatter(
        x=x,
        y=[link.after.margin for link in done],
        name="chain",
        line={"color": SKY if dark else BLUE, "width": 2.5},
    )
    dressed(figure, "Margin along the chain", dark, height=280)
    figure.update_xaxes(title_text="step", dtick=1)
    figure.update_yaxes(title_text="margin (logits)")
    return figure
