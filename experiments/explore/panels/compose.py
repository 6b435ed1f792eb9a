"""A chunk that is cut out of the prompt, moved and repaired."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.controls import read_state
from experiments.explore.desk import Ready
from experiments.explore.explorer import Explorer, cut_of
from experiments.explore.panels.parts import WAIT, entries, graph, labelled, menu, progress, ticker
from experiments.explore.state import State as Shown
from experiments.explore.views.chunks import marked, preview, repairs, table
from experiments.explore.views.words import told as spoken
from experiments.explore.views.words import wild

_BACK = ("", "back in its place")
_ABOUT = (
    "A chunk is prefilled alone, turned to where it is put, and read by all that comes after it. Choose a "
    "word for its beginning and a word for its end; nothing chosen is the rule."
)


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    del explorer
    compose = shown.compose
    return [
        html.P(_ABOUT),
        html.Div(
            id="compose-words",
            className="text",
            role="group",
            **wild(
                {
                    "data-picks": "ends",
                    "data-plain": "yes",
                    "aria-label": "words of the prompt: choose two, the chunk's ends",
                }
            ),
        ),
        html.Div(
            [
                html.Button("The rule", id="compose-usual", type="button"),
                html.Button("The field and what follows", id="compose-field", type="button"),
            ],
            className="buttons",
        ),
        html.Div(
            [
                menu("Put it", "compose-to", [_BACK], ""),
                labelled(
                    "Tokens repaired",
                    dcc.Input(
                        id="compose-repair",
                        type="number",
                        min=0,
                        max=4000,
                        step=1,
                        value=compose.repair,
                        debounce=0.4,
                    ),
                    hint="the chunk's first ones are run again in their new place",
                ),
            ],
            className="controls",
        ),
        html.Div(id="compose-preview"),
        ticker("moved"),
        html.Div(id="compose-table", **wild({"aria-live": "polite"})),
        html.Button("Measure other repairs", id="compose-measure", type="button"),
        ticker("along"),
        graph("compose-curve", "distance from a full prefill by number of repaired tokens"),
    ]


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""
    asked = (
        Input("source", "data"),
        Input("span", "data"),
        Input("compose-to", "data"),
        Input("view", "data"),
    )

    @app.callback(
        Output("compose-words", "children"),
        Output("compose-preview", "children"),
        Output("compose-table", "children"),
        Output("moved-progress", "children"),
        Output("moved-again", "data"),
        *asked,
        Input("compose-repair", "value"),
        Input("moved-poke", "data"),
    )
    def show(source: Any, span: Any, to: Any, view: Any, repair: Any, _: Any) -> Any:
        if view != "compose":
            return *(no_update,) * 3, [], None
        state = read_state(source, compose=(span, to, repair))
        opened = explorer.opened(state.source, WAIT)
        if not isinstance(opened, Ready):
            return *(no_update,) * 3, *progress(opened, "running both prompts")
        cut = cut_of(state.compose, opened.value.pair)
        answer = explorer.moved(state, wait=WAIT)
        told = progress(answer, "moving the chunk")
        text = marked(opened.value, cut)
        if not isinstance(answer, Ready):
            return text, no_update, no_update, *told
        return text, preview(opened.value, cut), table(opened.value, answer.value, cut), *told

    @app.callback(
        Output("compose-curve", "figure"),
        Output("compose-curve-box", "hidden"),
        Output("along-progress", "children"),
        Output("along-again", "data"),
        Input("compose-measure", "n_clicks"),
        *asked[:3],
        Input("dark", "data"),
        Input("along-poke", "data"),
    )
    def show_curve(_clicks: Any, source: Any, span: Any, to: Any, dark: Any, _: Any) -> Any:
        state = read_state(source, compose=(span, to, 0))
        asked_for = ctx.triggered_id in ("compose-measure", "along-poke")
        if not asked_for and explorer.kept("along", state) is None:
            return no_update, True, [], None
        opened = explorer.opened(state.source, WAIT)
        if not isinstance(opened, Ready):
            return no_update, True, *progress(opened, "running both prompts")
        answer = explorer.moved(state, along=True, wait=WAIT)
        told = progress(answer, "repairing the seam")
        if not isinstance(answer, Ready):
            return no_update, True, *told
        return repairs(opened.value, answer.value, bool(dark)), False, *told

    @app.callback(
        Output("span", "data"),
        Output("ends", "data"),
        Input("ends", "data"),
        Input("compose-usual", "n_clicks"),
        Input("compose-field", "n_clicks"),
        Input("source", "data"),
        prevent_initial_call=True,
    )
    def choose(ends: Any, _usual: Any, _field: Any, source: Any) -> Any:
        if ctx.triggered_id == "ends":
            if len(ends or []) < 2:
                raise PreventUpdate
            return [min(ends), max(ends) + 1], []
        if ctx.triggered_id != "compose-field":
            return None, []
        opened = explorer.opened(read_state(source).source, WAIT)
        if not isinstance(opened, Ready):
            raise PreventUpdate
        start, stop = opened.value.pair.case.change
        return [start, min(stop + 8, len(opened.value.pair.case.clean) - 1)], []

    @app.callback(
        Output("compose-to-menu", "children"),
        Output("compose-to", "data"),
        Output("place", "data"),
        Input("source", "data"),
        Input("span", "data"),
        Input("view", "data"),
        State("compose-to", "data"),
        State("place", "data"),
    )
    def places(source: Any, span: Any, view: Any, to: Any, linked: Any) -> Any:
        state = read_state(source, compose=(span, None, 0))
        opened = explorer.opened(state.source, 10 * WAIT)
        if view != "compose" or not isinstance(opened, Ready):
            raise PreventUpdate
        prompt = opened.value.pair.case.clean
        cut = cut_of(state.compose, opened.value.pair)
        rest = [i for i in range(len(prompt)) if not cut.start <= i < cut.stop]
        options = [
            (str(place), f"before word {position}, “{spoken(prompt.tokens[position])}”")
            for place, position in enumerate(rest)
        ]
        # A menu forgets what it does not offer yet, so that a permalink's place is kept beside it.
        wanted = str(linked) if to in (None, "") and linked is not None else to or ""
        stays = ctx.triggered_id in (None, "view") and wanted in dict(options)
        chosen = wanted if stays else ""
        return entries([_BACK, *options], chosen), chosen, None
