"""Choosing the prompt: a scenario, or one of the reader's own."""

from typing import Any

from dash import Dash, Input, Output, State, ctx, dcc, html, no_update
from dash.exceptions import PreventUpdate

from experiments.explore.desk import Failed, Ready
from experiments.explore.explorer import Explorer
from experiments.explore.own import own_of
from experiments.explore.panels.parts import WAIT, checks, labelled, menu, progress, radio, ticker
from experiments.explore.state import Own, Scenario, source_of
from experiments.explore.state import State as Shown
from experiments.explore.views.prompt import competence, tokens
from experiments.explore.views.words import wild
from pkv_interp.errors import PkvError

#: Seconds that a new prompt is waited for, so that a broken one changes nothing.
_PATIENCE = 20.0
_EXAMPLE = Own(
    system="You sort the mail of a small office.",
    context="The letter is [[stamp colour: red | blue]].\nRule: a letter with a red stamp goes up; any other "
    "goes down.",
    question="Where does it go, up or down?",
    cue="Answer:",
    actions=("up", "down"),
)
#: Controls of either kind of prompt, and where each keeps its value.
_SCENARIO = {
    "family": "data",
    "wording": "data",
    "flip": "data",
    "index": "value",
    "fillers": "value",
    "late": "data",
}
_OWN = {
    "system": "value",
    "context": "value",
    "question": "value",
    "cue": "value",
    "first": "value",
    "second": "value",
    "chat": "data",
}


def layout(shown: Shown, explorer: Explorer) -> Any:
    """The panel."""
    source = shown.source
    scenario = source if isinstance(source, Scenario) else Scenario(family=explorer.world.families[0].name)
    own = source if isinstance(source, Own) else _EXAMPLE
    modes = [("scenario", "a scenario"), ("own", "my own")]
    return [
        radio("Prompt", "prompt-mode", modes, source.kind),
        html.Div(_scenario(scenario, explorer), id="scenario-box", className="controls"),
        html.Div(_own(own), id="own-box", className="controls own"),
        html.P(id="prompt-refused", className="refused", role="alert"),
        html.Div(id="prompt-tokens"),
    ]


def _scenario(source: Scenario, explorer: Explorer) -> list[Any]:
    world = explorer.world
    families = [(f.name, f.name.replace("_", " ")) for f in world.families]
    rules = [("", "the instance's own"), *((name, name.replace("_", " ")) for name in world.rules)]
    flips = [("field", "the field"), ("rule", "what the rule names")]
    late = [("no", "before the rule"), ("yes", "after it")]
    return [
        menu("Scenario", "scenario-family", families, source.family),
        menu("Wording of the rule", "scenario-wording", rules, source.wording or ""),
        radio("The prompts differ in", "scenario-flip", flips, source.flip),
        radio("The field stands", "scenario-late", late, "yes" if source.late else "no"),
        labelled("Instance", _number("scenario-index", source.index, 9999)),
        labelled("Neutral sentences", _number("scenario-fillers", source.fillers, 40)),
        html.Button("Write my own from this", id="own-from", type="button"),
    ]


def _number(name: str, value: int, most: int) -> Any:
    return dcc.Input(id=name, type="number", min=0, max=most, step=1, value=value, debounce=0.4)


def _own(own: Own) -> list[Any]:
    hint = (
        "Mark the words that differ: [[field: value | other value]], by hand or, what is selected, by the "
        "button. Errata are added after this text."
    )
    mark = html.Button(
        "Mark as field", id="own-mark", type="button", className="mark", **wild({"data-marks": "own-context"})
    )
    return [
        labelled("System message", dcc.Textarea(id="own-system", value=own.system, rows=2)),
        labelled("Prompt", dcc.Textarea(id="own-context", value=own.context, rows=7), hint=hint, button=mark),
        labelled("Question, at its end", dcc.Textarea(id="own-question", value=own.question, rows=2)),
        labelled("The answer opens with", dcc.Input(id="own-cue", type="text", value=own.cue)),
        labelled("Action for the first value", dcc.Input(id="own-first", type="text", value=own.actions[0])),
        labelled("Action for the other value", dcc.Input(id="own-second", type="text", value=own.actions[1])),
        checks("Rendered", "own-chat", [("chat", "through the chat template")], ["chat"] if own.chat else []),
        html.Button("Run this prompt", id="own-run", type="button", className="primary"),
    ]


def head() -> Any:
    """What stands above all views: competence of the pair."""
    return html.Section(
        [html.Div(id="competence"), ticker("opened")],
        **wild({"aria-label": "the model's decisions on this pair"}),
    )


def register(app: Dash, explorer: Explorer) -> None:
    """What happens when the controls are used."""

    @app.callback(
        Output("source", "data"),
        Output("prompt-refused", "children"),
        Input("own-run", "n_clicks"),
        *(Input(f"scenario-{name}", prop) for name, prop in _SCENARIO.items()),
        *(State(f"own-{name}", prop) for name, prop in _OWN.items()),
        prevent_initial_call=True,
    )
    def choose(_: Any, *values: Any) -> Any:
        scenario = dict(zip(_SCENARIO, values[: len(_SCENARIO)], strict=True))
        own = dict(zip(_OWN, values[len(_SCENARIO) :], strict=True))
        asked = _read_own(own) if ctx.triggered_id == "own-run" else _read_scenario(scenario)
        if asked is None:
            raise PreventUpdate
        try:
            source = source_of(asked)
        except PkvError as error:
            return no_update, str(error)
        answer = explorer.opened(source, _PATIENCE)
        if isinstance(answer, Failed):
            return no_update, answer.line
        return source.model_dump(mode="json"), ""

    @app.callback(
        *(Output(f"own-{name}", prop) for name, prop in _OWN.items()),
        Output("prompt-mode", "data"),
        Input("own-from", "n_clicks"),
        State("source", "data"),
        prevent_initial_call=True,
    )
    def write_own(_: Any, source: Any) -> Any:
        answer = explorer.opened(source_of(source), _PATIENCE)
        if not isinstance(answer, Ready):
            raise PreventUpdate
        own = own_of(answer.value.pair)
        chat = ["chat"] if own.chat else []
        return own.system, own.context, own.question, own.cue, *own.actions, chat, "own"

    @app.callback(
        Output("competence", "children"),
        Output("prompt-tokens", "children"),
        Output("opened-progress", "children"),
        Output("opened-again", "data"),
        Input("source", "data"),
        Input("opened-poke", "data"),
    )
    def show(source: Any, _: Any) -> Any:
        answer = explorer.opened(source_of(source), WAIT)
        told = progress(answer, "running both prompts")
        if not isinstance(answer, Ready):
            return no_update, no_update, *told
        return competence(answer.value), tokens(answer.value), *told


def _read_scenario(given: dict[str, Any]) -> dict[str, Any] | None:
    # A number that is just being typed is none.
    if given["index"] is None or given["fillers"] is None:
        return None
    wording = given["wording"] or None
    return {"kind": "scenario", **given, "wording": wording, "late": given["late"] == "yes"}


def _read_own(given: dict[str, Any]) -> dict[str, Any]:
    texts = {name: given[name] or "" for name in ("system", "context", "question", "cue")}
    actions = (given["first"] or "", given["second"] or "")
    return {"kind": "own", **texts, "actions": actions, "chat": bool(given["chat"])}
