"""Heads that read at the decision or write at chosen words."""

from typing import Any

import numpy as np
from dash import Dash, Input, Output, State, ctx, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer
from experiments.explore.panels.parts import WAIT, choice_buttons, graph, menu, progress, radio, ticker
from experiments.explore.state import State as Shown
from experiments.explore.views.heads import chosen, cumulative, heatmap, name
from experiments.explore.views.words import wild

_SITES = [("read", "read, at the decision"), ("write", "write, at the words chosen in Notes")]
_MODES = [("patch", "put in the first prompt's output"), ("knockout", "knock out on both prompts")]
_ABOUT = (
    "A head that is put in has the first prompt's output; the effect is the recovery of its decision. A head "
    "that is knocked out has its mean over both prompts on either; the effect is the part of their "
    "difference that is gone."
)
_CHOSEN_HERE = (
    "Heads are ranked and scored on this one prompt, so that the curve of the best ones is too good: "
    "python -m experiments.circuit ranks on some families and scores on others."
)


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    spec = explorer.engine.spec
    every = [name(la, h) for la in range(spec.n_layers) for h in range(spec.n_heads)]
    picked = [one for one in (name(*head) for head in shown.heads.chosen) if one in every]
    offered = [("", "add a head ..."), *((one, one) for one in every)]
    return [
        html.P(_ABOUT),
        html.Div(
            [
                radio("Heads that", "heads-site", _SITES, shown.heads.site),
                radio("What is done", "heads-mode", _MODES, shown.heads.mode),
                menu("Layer and head", "heads-add", offered, "", once=True),
            ],
            className="controls",
        ),
        html.Div(
            [
                html.Button("Choose the best twelve", id="heads-best", type="button"),
                html.Button("Clear", id="heads-clear", type="button"),
            ],
            className="buttons",
        ),
        html.Div(
            choice_buttons([(one, one) for one in picked], picked, several=True),
            id="heads-picked",
            className="choices",
            role="group",
            **wild({"data-choices": "heads-chosen", "aria-label": "chosen heads: press one to leave it out"}),
        ),
        html.Div(id="heads-joint", **wild({"aria-live": "polite"})),
        ticker("chosen"),
        ticker("heads"),
        graph("heads-map", "effect of every single head by layer; click one to choose it"),
        ticker("curve"),
        graph("heads-curve", "effect of the best heads together, and of random heads of the same layers"),
        html.P(_CHOSEN_HERE, className="dim"),
    ]


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""
    asked = (
        Input("source", "data"),
        Input("heads-site", "data"),
        Input("heads-mode", "data"),
        Input("words", "data"),
        Input("view", "data"),
    )

    def state_of(source: Any, site: Any, mode: Any, words: Any, heads: Any = ()) -> Shown:
        return read_state(source, notes=("KV", None, words), heads=(site, mode, heads))

    @app.callback(
        Output("heads-map", "figure"),
        Output("heads-progress", "children"),
        Output("heads-again", "data"),
        *asked,
        Input("heads-chosen", "data"),
        Input("dark", "data"),
        Input("heads-poke", "data"),
    )
    def show_map(source: Any, site: Any, mode: Any, words: Any, view: Any, *rest: Any) -> Any:
        heads, dark, _ = rest
        if view != "heads":
            return no_update, [], None
        state = state_of(source, site, mode, words, heads)
        answer = explorer.heads(state, WAIT)
        told = progress(answer, "patching every head")
        if not isinstance(answer, Ready):
            return no_update, *told
        return heatmap(answer.value, state.heads.chosen, explorer.site(state), bool(dark)), *told

    @app.callback(
        Output("heads-curve", "figure"),
        Output("curve-progress", "children"),
        Output("curve-again", "data"),
        *asked,
        Input("dark", "data"),
        Input("curve-poke", "data"),
    )
    def show_curve(source: Any, site: Any, mode: Any, words: Any, view: Any, dark: Any, _: Any) -> Any:
        if view != "heads":
            return no_update, [], None
        state = state_of(source, site, mode, words)
        effects = explorer.heads(state, WAIT)
        if not isinstance(effects, Ready):
            # The heatmap's own line says how far the heads are, or why there are none.
            return no_update, [], progress(effects, "")[1]
        answer = explorer.curve(state, effects.value, WAIT)
        told = progress(answer, "patching sets of heads")
        if not isinstance(answer, Ready):
            return no_update, *told
        return cumulative(answer.value, explorer.site(state), bool(dark)), *told

    @app.callback(
        Output("heads-joint", "children"),
        Output("chosen-progress", "children"),
        Output("chosen-again", "data"),
        *asked,
        Input("heads-chosen", "data"),
        Input("chosen-poke", "data"),
    )
    def show_chosen(source: Any, site: Any, mode: Any, words: Any, view: Any, *rest: Any) -> Any:
        heads, _ = rest
        state = state_of(source, site, mode, words, heads)
        if view != "heads" or not state.heads.chosen or explorer.site(state).words == ():
            return [], [], None
        answer = explorer.chosen_heads(state, WAIT)
        told = progress(answer, "patching the chosen heads")
        if not isinstance(answer, Ready):
            return no_update, *told
        return chosen(answer.value, state.heads.chosen, explorer.site(state)), *told

    @app.callback(
        Output("heads-chosen", "data"),
        Input("heads-map", "clickData"),
        Input("heads-best", "n_clicks"),
        Input("heads-clear", "n_clicks"),
        Input("heads-add", "data"),
        Input("source", "data"),
        State("heads-chosen", "data"),
        State("heads-site", "data"),
        State("heads-mode", "data"),
        State("words", "data"),
        prevent_initial_call=True,
    )
    def choose(click: Any, _b: Any, _c: Any, added: Any, source: Any, *rest: Any) -> Any:
        heads, site, mode, words = rest
        heads, asked_by = list(heads or []), ctx.triggered_id
        if asked_by in ("heads-clear", "source"):
            return []
        if asked_by == "heads-best":
            answer = explorer.heads(state_of(source, site, mode, words), WAIT)
            if not isinstance(answer, Ready):
                raise PreventUpdate
            n_heads = answer.value.shape[1]
            order = np.argsort(-np.nan_to_num(answer.value), axis=None, kind="stable")[:12]
            return [name(int(i) // n_heads, int(i) % n_heads) for i in order]
        one = added if asked_by == "heads-add" else _clicked(click)
        if not one:
            raise PreventUpdate
        return [head for head in heads if head != one] if one in heads else [*heads, one]

    @app.callback(Output("heads-picked", "children"), Input("heads-chosen", "data"))
    def show_picked(heads: Any) -> Any:
        return choice_buttons([(one, one) for one in heads or ()], heads or (), several=True)


def _clicked(click: Any) -> str:
    """The head of a click in the figure; nothing where it is of none."""
    point = (click or {}).get("points", [{}])[0]
    layer, head = point.get("y"), point.get("x")
    return name(layer, head) if isinstance(layer, int) and isinstance(head, int) else ""
