"""Words and what their keys and values do to the decision."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer
from experiments.explore.notes import band
from experiments.explore.panels.parts import WAIT, graph, progress, radio, ticker
from experiments.explore.state import State as Shown
from experiments.explore.views.notes import by_word, coloured, grid, joint
from experiments.explore.views.words import wild

_PARTS = [("KV", "keys and values"), ("K", "keys"), ("V", "values")]
_ABOUT = (
    "The decision of the other prompt reads these words as the first prompt wrote them. Colour is how far "
    "that alone takes it to the first prompt's decision: 0 is nothing, 1 all of it."
)


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    last = explorer.n_layers - 1
    first, stop = shown.notes.layers or (0, last)
    return [
        html.P(_ABOUT),
        html.Div(
            [
                radio("Put in", "notes-part", _PARTS, shown.notes.part),
                html.Div(
                    [
                        html.Span("Layers", id="layers-label", className="label"),
                        dcc.RangeSlider(
                            id="notes-layers",
                            min=0,
                            max=last,
                            step=1,
                            value=[min(first, last), min(stop, last)],
                            marks={0: "0", last: str(last)},
                            allowCross=False,
                            allow_direct_input=False,
                            tooltip={"placement": "bottom", "always_visible": True},
                        ),
                    ],
                    className="control",
                    role="group",
                    **wild({"aria-labelledby": "layers-label"}),
                ),
            ],
            className="controls",
        ),
        ticker("words"),
        html.Div(
            id="notes-words",
            className="text",
            role="group",
            **wild(
                {
                    "data-picks": "words",
                    "aria-label": "words: arrow keys move, space chooses, shift and click a range",
                }
            ),
        ),
        html.Div(
            [
                html.Button("Choose the best five", id="notes-best", type="button"),
                html.Button("Clear", id="notes-clear", type="button"),
            ],
            className="buttons",
        ),
        html.Div(id="notes-joint", **wild({"aria-live": "polite"})),
        ticker("joint"),
        graph("notes-bars", "recovery of single words, and the first prompt's attention on them"),
        html.Button("Measure every layer", id="notes-measure", type="button"),
        html.Span(
            " Each word in each layer: some thousand patches, so this takes a while.", className="hint"
        ),
        ticker("grid"),
        graph("notes-grid", "recovery of single words in single layers"),
    ]


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""
    asked = (Input("source", "data"), Input("notes-part", "data"), Input("notes-layers", "value"))

    @app.callback(
        Output("notes-words", "children"),
        Output("notes-bars", "figure"),
        Output("words-progress", "children"),
        Output("words-again", "data"),
        *asked,
        Input("view", "data"),
        Input("dark", "data"),
        Input("words-poke", "data"),
    )
    def show_words(source: Any, part: Any, layers: Any, view: Any, dark: Any, _: Any) -> Any:
        if view != "notes":
            return no_update, no_update, [], None
        state = read_state(source, notes=(part, layers, ()))
        opened = explorer.opened(state.source, WAIT)
        if not isinstance(opened, Ready):
            return no_update, no_update, *progress(opened, "running both prompts")
        answer = explorer.words(state, WAIT)
        told = progress(answer, "patching every word")
        if not isinstance(answer, Ready):
            return no_update, no_update, *told
        chosen = band(state.notes.layers, explorer.n_layers)
        figure = by_word(opened.value, answer.value, chosen, bool(dark))
        return coloured(opened.value, answer.value), figure, *told

    @app.callback(
        Output("notes-joint", "children"),
        Output("joint-progress", "children"),
        Output("joint-again", "data"),
        *asked,
        Input("words", "data"),
        Input("view", "data"),
        Input("joint-poke", "data"),
    )
    def show_joint(source: Any, part: Any, layers: Any, words: Any, view: Any, _: Any) -> Any:
        if view != "notes":
            return no_update, [], None
        state = read_state(source, notes=(part, layers, words))
        opened = explorer.opened(state.source, WAIT)
        if not isinstance(opened, Ready):
            return no_update, *progress(opened, "running both prompts")
        answer = explorer.joint(state, WAIT)
        told = progress(answer, "patching the chosen words")
        if not isinstance(answer, Ready):
            return no_update, *told
        return joint(opened.value, answer.value, len(state.notes.words)), *told

    @app.callback(
        Output("words", "data"),
        Input("notes-best", "n_clicks"),
        Input("notes-clear", "n_clicks"),
        Input("source", "data"),
        State("notes-part", "data"),
        State("notes-layers", "value"),
        prevent_initial_call=True,
    )
    def choose(best: Any, _clear: Any, source: Any, part: Any, layers: Any) -> Any:
        if ctx.triggered_id != "notes-best" or not best:
            return []
        state = read_state(source, notes=(part, layers, ()))
        opened, answer = explorer.opened(state.source, WAIT), explorer.words(state, WAIT)
        if not (isinstance(opened, Ready) and isinstance(answer, Ready)):
            raise PreventUpdate
        ranked = sorted(zip(answer.value.tolist(), opened.value.notes, strict=True), reverse=True)
        return sorted(position for _, position in ranked[:5])

    @app.callback(
        Output("notes-grid", "figure"),
        Output("notes-grid-box", "hidden"),
        Output("grid-progress", "children"),
        Output("grid-again", "data"),
        Input("notes-measure", "n_clicks"),
        Input("source", "data"),
        Input("notes-part", "data"),
        Input("dark", "data"),
        Input("grid-poke", "data"),
    )
    def show_grid(_clicks: Any, source: Any, part: Any, dark: Any, _: Any) -> Any:
        state = read_state(source, notes=(part, None, ()))
        # It is measured when it is asked for; what is there already is shown at once.
        asked_for = ctx.triggered_id in ("notes-measure", "grid-poke")
        if not asked_for and explorer.kept("grid", state) is None:
            return no_update, True, [], None
        opened = explorer.opened(state.source, WAIT)
        if not isinstance(opened, Ready):
            return no_update, True, *progress(opened, "running both prompts")
        answer = explorer.grid(state, WAIT)
        told = progress(answer, "patching every word in every layer")
        if not isinstance(answer, Ready):
            return no_update, True, *told
        return grid(opened.value, answer.value, bool(dark)), False, *told
