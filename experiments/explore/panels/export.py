"""Taking a state along: an address, a record, a program, pictures."""

from typing import Any

import numpy as np
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer
from experiments.explore.panels.parts import WAIT, graph, progress, radio, ticker
from experiments.explore.permalink import pack
from experiments.explore.record import name_of, record_of
from experiments.explore.snippet import snippet_of
from experiments.explore.state import VIEWS, state_of
from experiments.explore.state import State as Shown
from experiments.explore.views.prompt import NO_GAP
from experiments.explore.views.words import wild
from pkv_interp.errors import PkvError
from pkv_interp.plots.tokens import token_text

_SHOWN = [(view, view.capitalize()) for view in VIEWS if view not in ("prompt", "export")]


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    del explorer
    view = shown.view if shown.view in dict(_SHOWN) else "notes"
    return [
        html.H3("Permalink"),
        html.Label(
            "This page's address holds all that is chosen, and opens in any explorer of the same model.",
            htmlFor="link",
        ),
        html.Div(
            [
                dcc.Input(id="link", type="text", readOnly=True, value=""),
                html.Button("Copy", id="link-copy", type="button", **wild({"data-copy": "link"})),
            ],
            className="copy",
        ),
        html.H3("Record"),
        html.P(
            "JSON of the schema that the experiments' records have, with its controls: the pair and its "
            "words, and other views as far as they were looked at."
        ),
        html.Button("Save the record", id="record-save", type="button", className="primary"),
        dcc.Download(id="record-file"),
        html.P(id="record-refused", className="refused", role="alert"),
        html.H3("Program"),
        radio("that repeats the view", "snippet-view", _SHOWN, view),
        html.Button("Copy", id="snippet-copy", type="button", **wild({"data-copy": "snippet"})),
        html.Pre(id="snippet", className="mono", tabIndex=0),
        html.H3("Picture"),
        html.P(
            "The words with their recovery, as the experiments draw them. Every other figure has buttons of "
            "its own."
        ),
        ticker("picture"),
        graph("picture", "the prompt's words, each coloured by the recovery of its position alone"),
    ]


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""
    app.clientside_callback(
        ClientsideFunction("explore", "address"),
        Output("link", "value"),
        Input("packed", "data"),
    )

    @app.callback(
        Output("state", "data"),
        Output("packed", "data"),
        Input("view", "data"),
        Input("source", "data"),
        Input("notes-part", "data"),
        Input("notes-layers", "value"),
        Input("words", "data"),
        Input("heads-site", "data"),
        Input("heads-mode", "data"),
        Input("heads-chosen", "data"),
        Input("edit", "data"),
        Input("chain", "data"),
        Input("span", "data"),
        Input("compose-to", "data"),
        Input("compose-repair", "value"),
        State("place", "data"),
    )
    def collect(view: Any, source: Any, *values: Any) -> Any:
        part, layers, words, site, mode, heads, edit, chain, span, to, repair, linked = values
        last = explorer.n_layers - 1
        state = read_state(
            source,
            view=view,
            notes=(part, None if tuple(layers or ()) == (0, last) else layers, words),
            heads=(site, mode, heads),
            edit=(edit["value"], edit["wording"], edit["methods"], chain),
            compose=(span, linked if to in (None, "") else to, repair),
        )
        return state.model_dump(mode="json"), pack(state)

    @app.callback(
        Output("snippet", "children"),
        Input("state", "data"),
        Input("snippet-view", "data"),
    )
    def program(values: Any, view: Any) -> Any:
        if not values or values["view"] != "export":
            raise PreventUpdate
        state = state_of({**values, "view": view})
        opened = explorer.opened(state.source, 10 * WAIT)
        if not isinstance(opened, Ready):
            return getattr(opened, "line", "")
        return snippet_of(explorer, state, opened.value.pair)

    @app.callback(
        Output("record-file", "data"),
        Output("record-refused", "children"),
        Input("record-save", "n_clicks"),
        State("state", "data"),
        prevent_initial_call=True,
    )
    def save(_: Any, values: Any) -> Any:
        try:
            record = record_of(explorer, state_of(values))
        except PkvError as error:
            return no_update, str(error)
        text = record.model_dump_json(indent=1) + "\n"
        return {"content": text, "filename": name_of(record), "type": "application/json"}, ""

    @app.callback(
        Output("picture", "figure"),
        Output("picture-progress", "children"),
        Output("picture-again", "data"),
        Input("state", "data"),
        Input("picture-poke", "data"),
    )
    def picture(values: Any, _: Any) -> Any:
        if not values or values["view"] != "export":
            return no_update, [], None
        state = state_of(values)
        answer = explorer.words(state, WAIT)
        if not isinstance(answer, Ready):
            return no_update, *progress(answer, "patching every word")
        if not np.isfinite(answer.value).all():
            return no_update, [html.Span(NO_GAP, className="refused")], None
        try:
            return token_text(record_of(explorer, state)), [], None
        except PkvError as error:
            return no_update, [html.Span(str(error), className="refused")], None
