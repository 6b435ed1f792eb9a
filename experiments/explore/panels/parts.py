"""Pieces that all panels are made of: labelled controls, progress, figures with their buttons."""

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from experiments.explore.desk import Answer, Failed, Ready, Running
from experiments.explore.views.look import CONFIG, empty
from experiments.explore.views.words import Children

#: Milliseconds between two questions how far work is, and seconds that a first question waits for the answer.
POLL, WAIT = 350, 1.2


def control(label: str, component: Any, *, hint: str = "") -> Any:
    """A control with its label, and a line of help below."""
    below = [html.Span(hint, className="hint")] if hint else []
    return html.Div([html.Label(label, htmlFor=component.id), component, *below], className="control")


def group(label: str, component: Any, *, wide: bool = False) -> Any:
    """Several inputs under one name: radio buttons, check boxes, a slider; ``wide`` takes a whole row."""
    return html.Fieldset([html.Legend(label), component], className="control wide" if wide else "control")


def radio(name: str, options: Sequence[tuple[str, str]], value: str) -> dcc.RadioItems:
    """Radio buttons in a row."""
    listed: list[Any] = [{"label": label, "value": key} for key, label in options]
    return dcc.RadioItems(id=name, options=listed, value=value, inline=True, className="choices")


def ticker(name: str) -> Any:
    """Where a piece of work says how far it is, and what asks it."""
    return html.Div(
        [
            dcc.Interval(id=f"{name}-tick", interval=POLL, disabled=True),
            html.Div(id=f"{name}-progress", role="status", **{"aria-live": "polite"}),
        ],
        className="ticker",
    )


def graph(name: str, about: str) -> Any:
    """A figure, what it shows in words, and buttons that save it."""
    save = [
        html.Button(
            form.upper(),
            type="button",
            className="save",
            **{
                "data-save": name,
                "data-form": form,
                "aria-label": f"save the figure as {form.upper()}: {about}",
            },
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


def progress(answer: Answer[Any], what: str) -> tuple[Children, bool]:
    """What the ticker shows of an answer, and whether it may stop asking."""
    if isinstance(answer, Running):
        if not answer.total:
            return [html.Span(f"{what} …"), html.Progress(max="1")], False
        done = f"{100 * answer.share:.0f}"
        return [html.Span(f"{what}: {done} %"), html.Progress(max="100", value=done)], False
    if isinstance(answer, Failed):
        return [html.Span(answer.line, className="refused", role="alert")], True
    return [], True


def ready(answer: Answer[Any]) -> bool:
    """Whether there is a result."""
    return isinstance(answer, Ready)
