"""Edits of the field, side by side and one after the other."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.edits import FULL, OFFERED, USUAL
from experiments.explore.explorer import Explorer
from experiments.explore.panels.parts import WAIT, checks, entries, graph, labelled, menu, progress, ticker
from experiments.explore.state import LONGEST_CHAIN, LONGEST_LINE
from experiments.explore.state import State as Shown
from experiments.explore.views.edits import bars, chain, table, timeline
from experiments.explore.views.words import wild
from pkv_interp.editing import METHODS
from pkv_interp.prompts.errata import DEFAULT, ERRATA

_ABOUT = (
    "The first prompt is cached, and its field is given another value by each method. A full re-prefill is "
    "what every other is held against."
)


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    del explorer
    edit = shown.edit
    wording = ERRATA.get(edit.wording, edit.wording)
    methods = list(edit.methods or USUAL)
    return [
        html.P(_ABOUT),
        html.Div(
            [
                labelled(
                    "New value of the field",
                    dcc.Input(
                        id="edit-value", type="text", value=edit.value, debounce=0.6, maxLength=LONGEST_LINE
                    ),
                    hint="empty: the other prompt's value",
                ),
                labelled(
                    "Erratum",
                    dcc.Textarea(id="edit-wording", value=wording, rows=3, maxLength=LONGEST_LINE),
                    hint="with {field} and {value}; press Edit to use it",
                ),
                checks("Methods", "edit-methods", [(one, one) for one in OFFERED], methods),
                html.Button("Edit", id="edit-run", type="button", className="primary"),
            ],
            className="controls",
        ),
        html.Details(
            [html.Summary("What the methods do"), html.Dl([part for one in OFFERED for part in _told(one)])]
        ),
        ticker("edits"),
        html.Div(id="edit-table", **wild({"aria-live": "polite"})),
        graph("edit-bars", "distance from a full re-prefill by tokens run, for each method"),
        html.H3("A chain of edits"),
        html.P(
            "Each step edits the state that the step before has left; a full re-prefill stands beside it."
        ),
        html.Div(
            [
                menu("Field", "chain-field", [], ""),
                labelled("Value", dcc.Input(id="chain-value", type="text", value="", maxLength=LONGEST_LINE)),
                menu("Method", "chain-method", [(one, one) for one in OFFERED], "erratum"),
                html.Div(
                    [
                        html.Button("Add the step", id="chain-add", type="button", className="primary"),
                        html.Button("Take the last back", id="chain-back", type="button"),
                    ],
                    className="buttons",
                ),
            ],
            className="controls",
        ),
        ticker("chain"),
        html.Div(id="chain-steps", **wild({"aria-live": "polite"})),
        graph("chain-line", "margin after every step, and that of a full re-prefill"),
    ]


def _told(method: str) -> list[Any]:
    """A method and what it does, in its own words."""
    return [html.Dt(method, className="mono"), html.Dd(METHODS[method.partition("@")[0]].summary)]


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""

    @app.callback(
        Output("edit", "data"),
        Input("edit-run", "n_clicks"),
        Input("edit-value", "value"),
        Input("edit-methods", "data"),
        State("edit-wording", "value"),
        prevent_initial_call=True,
    )
    def ask(_: Any, value: Any, methods: Any, wording: Any) -> Any:
        chosen = [method for method in OFFERED if method in (methods or [])]
        return {"value": value or "", "wording": wording or DEFAULT, "methods": chosen}

    @app.callback(
        Output("edit-table", "children"),
        Output("edit-bars", "figure"),
        Output("edits-progress", "children"),
        Output("edits-again", "data"),
        Input("source", "data"),
        Input("edit", "data"),
        Input("view", "data"),
        Input("dark", "data"),
        Input("edits-poke", "data"),
    )
    def show_edits(source: Any, edit: Any, view: Any, dark: Any, _: Any) -> Any:
        if view != "edit":
            return no_update, no_update, [], None
        state = read_state(source, edit=(edit["value"], edit["wording"], edit["methods"], ()))
        answer = explorer.edits(state, WAIT)
        told = progress(answer, "editing")
        if not isinstance(answer, Ready):
            return no_update, no_update, *told
        return table(answer.value), bars(answer.value, bool(dark)), *told

    @app.callback(
        Output("chain-steps", "children"),
        Output("chain-line", "figure"),
        Output("chain-line-box", "hidden"),
        Output("chain-progress", "children"),
        Output("chain-again", "data"),
        Input("source", "data"),
        Input("chain", "data"),
        Input("edit", "data"),
        Input("view", "data"),
        Input("dark", "data"),
        Input("chain-poke", "data"),
    )
    def show_chain(source: Any, steps: Any, edit: Any, view: Any, dark: Any, _: Any) -> Any:
        if view != "edit":
            return no_update, no_update, no_update, [], None
        state = read_state(source, edit=("", edit["wording"], (), steps))
        if not state.edit.chain:
            return timeline(()), no_update, True, [], None
        answer = explorer.chain(state, WAIT)
        told = progress(answer, "following the chain")
        if not isinstance(answer, Ready):
            return no_update, no_update, no_update, *told
        return timeline(answer.value), chain(answer.value, bool(dark)), False, *told

    @app.callback(
        Output("chain", "data"),
        Input("chain-add", "n_clicks"),
        Input("chain-back", "n_clicks"),
        Input("source", "data"),
        State("chain", "data"),
        State("chain-field", "data"),
        State("chain-value", "value"),
        State("chain-method", "data"),
        prevent_initial_call=True,
    )
    def change(_add: Any, _back: Any, _source: Any, steps: Any, field: Any, value: Any, method: Any) -> Any:
        steps = list(steps or [])
        if ctx.triggered_id == "chain-back":
            return steps[:-1]
        if ctx.triggered_id != "chain-add":
            return []
        if not (field and value and value.strip()) or len(steps) >= LONGEST_CHAIN:
            raise PreventUpdate
        return [*steps, {"field": field, "value": value.strip(), "method": method or FULL}]

    @app.callback(
        Output("chain-field-menu", "children"),
        Output("chain-field", "data"),
        Output("chain-value", "value"),
        Input("source", "data"),
        Input("view", "data"),
    )
    def fields(source: Any, view: Any) -> Any:
        opened = explorer.opened(read_state(source).source, 10 * WAIT)
        if view != "edit" or not isinstance(opened, Ready):
            raise PreventUpdate
        pair = opened.value.pair
        named = [s.name for m in pair.messages for s in m.segments if s.kind == "field" and s.name]
        return entries([(one, one) for one in named], pair.field), pair.field, pair.values[1]
