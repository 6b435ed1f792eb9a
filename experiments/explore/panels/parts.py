"""Pieces that all panels are made of: labelled controls, progress, figures with their buttons.

Radio buttons, check boxes and menus are the page's own: those of Dash tell a screen reader that they are
what they are not. Each has a store of its name, which holds its value; ``assets/explore.js`` fills it.
"""

import time
from collections.abc import Sequence
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from experiments.explore.desk import Answer, Failed, Running
from experiments.explore.views.look import CONFIG, empty
from experiments.explore.views.words import Children, wild

#: Seconds that a first question waits for the answer, before the page says how far it is.
WAIT = 1.2
#: Every ticker of the page.
TICKERS = (
    "opened",
    "words",
    "joint",
    "grid",
    "heads",
    "curve",
    "chosen",
    "edits",
    "chain",
    "moved",
    "along",
    "picture",
)
#: Every set of buttons of which one is chosen, or several.
CHOICES = (
    "prompt-mode",
    "scenario-flip",
    "scenario-late",
    "own-chat",
    "notes-part",
    "heads-site",
    "heads-mode",
    "edit-methods",
    "snippet-view",
)
Options = Sequence[tuple[str, str]]


def labelled(label: str, component: Any, *, hint: str = "", button: Any = None) -> Any:
    """A control with its label, a line of help below, and a button that writes into it."""
    below = [html.Span(hint, className="hint")] if hint else []
    below += [button] if button is not None else []
    return html.Div([html.Label(label, htmlFor=component.id), component, *below], className="control")


def radio(label: str, name: str, options: Options, value: str) -> Any:
    """Buttons of which one is chosen; the store ``name`` has its value."""
    return _choices(label, name, options, value, (value,))


def checks(label: str, name: str, options: Options, chosen: Sequence[str]) -> Any:
    """Buttons of which any number are chosen; the store ``name`` has the list."""
    return _choices(label, name, options, list(chosen), tuple(chosen))


def _choices(label: str, name: str, options: Options, data: Any, chosen: tuple[str, ...]) -> Any:
    several = isinstance(data, list)
    return html.Div(
        [
            html.Span(label, id=f"{name}-label", className="label"),
            html.Div(
                choice_buttons(options, chosen, several=several),
                id=f"{name}-choices",
                className="choices",
                role="group" if several else "radiogroup",
                **wild({"data-choices": name, "aria-labelledby": f"{name}-label"}),
            ),
            dcc.Store(id=name, data=data),
        ],
        className="control wide" if len(options) > 6 else "control",
    )


def choice_buttons(options: Options, chosen: Sequence[str], *, several: bool) -> Children:
    """The buttons alone, one of them reached by the tab key and the others by arrows where one is chosen."""
    return [
        html.Button(
            text,
            type="button",
            role="checkbox" if several else "radio",
            tabIndex=0 if several or key in chosen else -1,
            **wild({"data-value": key, "aria-checked": "true" if key in chosen else "false"}),
        )
        for key, text in options
    ]


def menu(label: str, name: str, options: Options, value: str, *, once: bool = False) -> Any:
    """A menu; the store ``name`` has what is chosen; with ``once`` it shows its first entry again."""
    more: dict[str, Any] = {"data-once": "yes"} if once else {}
    return html.Div(
        [
            html.Label(label, htmlFor=f"{name}-menu"),
            html.Select(entries(options, value), id=f"{name}-menu", **wild({"data-store": name}), **more),
            dcc.Store(id=name, data=value),
        ],
        className="control",
    )


def entries(options: Options, value: str) -> Children:
    """What stands in a menu."""
    return [
        html.Option(text, value=key, selected="selected" if key == value else None) for key, text in options
    ]


def ticker(name: str) -> Any:
    """Where a piece of work says how far it is. The page asks again once it has had the last answer."""
    return html.Div(
        [
            dcc.Store(id=f"{name}-again"),
            dcc.Store(id=f"{name}-poke"),
            html.Div(id=f"{name}-progress", role="status", **wild({"aria-live": "polite"})),
        ],
        className="ticker",
    )


def register(app: Dash) -> None:
    """What the page does by itself with these pieces."""
    for name in TICKERS:
        app.clientside_callback(
            ClientsideFunction("explore", "again"),
            Output(f"{name}-progress", "title"),
            Input(f"{name}-again", "data"),
            State(f"{name}-poke", "id"),
        )
    for name in CHOICES:
        app.clientside_callback(
            ClientsideFunction("explore", "check"),
            Output(f"{name}-choices", "title"),
            Input(name, "data"),
            State(name, "id"),
        )


def graph(name: str, about: str) -> Any:
    """A figure, what it shows in words, and buttons that save it."""
    save = [
        html.Button(
            form.upper(),
            type="button",
            className="save",
            **wild(
                {
                    "data-save": name,
                    "data-form": form,
                    "aria-label": f"save the figure as {form.upper()}: {about}",
                }
            ),
        )
        for form in ("png", "svg")
    ]
    return html.Figure(
        [
            dcc.Graph(id=name, figure=empty(False), config=CONFIG, className="graph"),
            html.Figcaption([html.Span(about), html.Span(save, className="saves")]),
        ],
        id=f"{name}-box",
    )


def progress(answer: Answer[Any], what: str) -> tuple[Children, float | None]:
    """What the ticker shows of an answer, and a number that is new each time where it must ask again.

    What was refused stays refused, so that nobody asks after it again.
    """
    if isinstance(answer, Running):
        if not answer.total:
            return [html.Span(f"{what} …"), html.Progress(max="1")], time.monotonic()
        done = f"{100 * answer.share:.0f}"
        return [html.Span(f"{what}: {done} %"), html.Progress(max="100", value=done)], time.monotonic()
    if isinstance(answer, Failed):
        return [html.Span(answer.line, className="refused", role="alert")], None
    return [], None
