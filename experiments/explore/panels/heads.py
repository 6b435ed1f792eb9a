"""Heads that read at the decision or write at chosen words."""

from typing import Any

import numpy as np
from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer
from experiments.explore.panels.parts import WAIT, control, graph, group, progress, radio, ticker
from experiments.explore.state import State as Shown
from experiments.explore.views.heads import chosen, cumulative, heatmap, name

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
    options: list[Any] = [name(la, h) for la in range(spec.n_layers) for h in range(spec.n_heads)]
    picked = [name(*head) for head in shown.heads.chosen]
    heads = dcc.Dropdown(
        id="heads-chosen",
        options=options,
        value=[one for one in picked if one in options],
        multi=True,
        placeholder="layer.head, or click in the figure",
    )
    return [
        html.P(_ABOUT),
        html.Div(
            [
                group("Heads that", radio("heads-site", _SITES, shown.heads.site)),
                group("What is done", radio("heads-mode", _MODES, shown.heads.mode)),
                control("Chosen heads", heads),
            ],
            className="controls",
        ),
        html.Div(html.Button("Choose the best twelve", id="heads-best", type="button"), className="buttons"),
        html.Div(id="heads-joint", **{"aria-live": "polite"}),
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
        Input("heads-site", "value"),
        Input("heads-mode", "value"),
        Input("words", "data"),
        Input("view", "data"),
    )

    def state_of(source: Any, site: Any, mode: Any, words: Any, heads: Any = ()) -> Shown:
        return read_state(source, notes=("KV", None, words), heads=(site, mode, heads))

    @app.callback(
        Output("heads-map", "figure"),
        Output("heads-progress", "children"),
        Output("heads-tick", "disabled"),
        *asked,
        Input("heads-chosen", "value"),
        Input("dark", "data"),
        Input("heads-tick", "n_intervals"),
    )
    def show_map(source: Any, site: Any, mode: Any, words: Any, view: Any, *rest: Any) -> Any:
        heads, dark, _ = rest
        if view != "heads":
            return no_update, [], True
        state = state_of(source, site, mode, words, heads)
        answer = explorer.heads(state, WAIT)
        told = progress(answer, "patching every head")
        if not isinstance(answer, Ready):
            return no_update, *told
        return heatmap(answer.value, state.heads.chosen, explorer.site(state), bool(dark)), *told

    @app.callback(
        Output("heads-curve", "figure"),
        Output("curve-progress", "children"),
        Output("curve-tick", "disabled"),
        *asked,
        Input("dark", "data"),
        Input("curve-tick", "n_intervals"),
    )
    def show_curve(source: Any, site: Any, mode: Any, words: Any, view: Any, dark: Any, _: Any) -> Any:
        if view != "heads":
            return no_update, [], True
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
        Output("chosen-tick", "disabled"),
        *asked,
        Input("heads-chosen", "value"),
        Input("chosen-tick", "n_intervals"),
    )
    def show_chosen(source: Any, site: Any, mode: Any, words: Any, view: Any, *rest: Any) -> Any:
        heads, _ = rest
        state = state_of(source, site, mode, words, heads)
        if view != "heads" or not state.heads.chosen or explorer.site(state).words == ():
            return [], [], True
        answer = explorer.chosen_heads(state, WAIT)
        told = progress(answer, "patching the chosen heads")
        if not isinstance(answer, Ready):
            return no_update, *told
        return chosen(answer.value, state.heads.chosen, explorer.site(state)), *told

    @app.callback(
        Output("heads-chosen", "value"),
        Input("heads-map", "clickData"),
        Input("heads-best", "n_clicks"),
        State("heads-chosen", "value"),
        State("source", "data"),
        State("heads-site", "value"),
        State("heads-mode", "value"),
        State("words", "data"),
        prevent_initial_call=True,
    )
    def choose(click: Any, _: Any, heads: Any, source: Any, site: Any, mode: Any, words: Any) -> Any:
        heads = list(heads or [])
        if ctx.triggered_id == "heads-best":
            answer = explorer.heads(state_of(source, site, mode, words), WAIT)
            if not isinstance(answer, Ready):
                raise PreventUpdate
            order = np.argsort(-np.nan_to_num(answer.value), axis=None, kind="stable")[:12]
            n_heads = answer.value.shape[1]
            return [name(int(i) // n_heads, int(i) % n_heads) for i in order]
        point = (click or {}).get("points", [{}])[0]
        if not isinstance(point.get("x"), int) or not isinstance(point.get("y"), int):
            raise PreventUpdate
        one = name(point["y"], point["x"])
        return [h for h in heads if h != one] if one in heads else [*heads, one]
