"""The pair as it is: both decisions, the banner, and the prompt's tokens."""

from typing import Any

from dash import html

from experiments.explore.opened import Opened, Side
from experiments.explore.views.words import Children, kind_legend, wild, words

#: Stands above everything of a pair that the model does not decide right.
BANNER = (
    "The model is wrong on this pair. What follows is the route by which the prompt influences the "
    "decision, and no evidence of a conclusion."
)
NO_GAP = "Both prompts lead to the same margin, so that shares of their difference have no meaning here."
#: Tokens up to which every view is to answer within two seconds on two cores.
QUICK = 400


def signed(value: float) -> str:
    """A number with its sign, as margins are shown."""
    return f"{value:+.2f}".replace("-", "\u2212")


def share(value: float | None) -> str:
    """A recovery; a dash where there is none."""
    if value is None or value != value:
        return "–"
    # Rounded first: what is nothing but for rounding has no sign.
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\u2212")


def competence(found: Opened) -> Children:
    """Both decisions of the pair, and the banner where one is wrong."""
    sides = [_side(*one) for one in (("first prompt", found.clean), ("other prompt", found.corrupt))]
    top: Children = [] if found.competent else [html.P(BANNER, className="banner", role="alert")]
    if not found.has_gap:
        top.append(html.P(NO_GAP, className="banner"))
    return [*top, html.Div(sides, className="sides")]


def _side(name: str, side: Side) -> Any:
    verdict = "right" if side.right else "wrong"
    return html.Div(
        [
            html.Span(f"{name}:", className="dim"),
            html.Span(side.value, className="value"),
            html.Span("calls for", className="dim"),
            html.Span(side.called_for, className="action"),
            html.Span(
                f"{'✓' if side.right else '✗'} decides {side.choice}, {verdict}",
                className=f"verdict {verdict}",
            ),
            html.Span(f"margin {signed(side.margin)} · p = {side.probability:.2f}", className="dim number"),
        ],
        className="side",
    )


def tokens(found: Opened) -> Children:
    """The clean prompt as tokens, the chat template's among them, and what it is made of."""
    case = found.pair.case
    n = len(case.clean)
    about = [
        html.P(
            f"{n} tokens, the chat template's own among them. Framed ones differ between the two prompts: "
            f"“{found.clean.value}” stands as “{found.corrupt.value}” in the other.",
        )
    ]
    if n > QUICK:
        about.append(html.P(f"Above {QUICK} tokens views may take longer than two seconds.", className="dim"))
    text = words(case.clean.tokens, case.clean.kinds, framed=found.changed)
    return [
        *about,
        html.Div(text, className="text", role="group", **wild({"aria-label": "the prompt as tokens"})),
        html.P(kind_legend(case.clean.kinds), className="legend"),
        html.Div([_likeliest(side) for side in (found.clean, found.corrupt)], className="sides"),
    ]


def _likeliest(side: Side) -> Any:
    rows = [
        html.Tr([html.Td(repr(word)[1:-1], className="mono"), html.Td(f"{chance:.3f}", className="number")])
        for word, chance in side.top
    ]
    caption = html.Caption(f"Likeliest next tokens, {side.value}")
    return html.Table([caption, html.Tbody(rows)], className="small")
