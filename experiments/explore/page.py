"""The page: heading, competence, tabs and their panels."""

from types import ModuleType
from typing import Any

from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html

from experiments.explore.explorer import Explorer
from experiments.explore.panels import compose, edit, export, heads, notes, parts, prompt
from experiments.explore.permalink import unpack
from experiments.explore.state import VIEWS, Scenario, View
from experiments.explore.state import State as Shown
from experiments.explore.views.words import wild
from pkv_interp.errors import PkvError

PANELS: dict[View, ModuleType] = {
    "prompt": prompt,
    "notes": notes,
    "heads": heads,
    "edit": edit,
    "compose": compose,
    "export": export,
}


def frame() -> Any:
    """What is there before an address is read."""
    return html.Div([dcc.Location(id="address", refresh=False), html.Div(id="page")])


def opening(explorer: Explorer, search: str | None) -> tuple[Shown, str]:
    """The state that an address asks for, and a line where it could not be read."""
    first = Shown(source=Scenario(family=explorer.world.families[0].name))
    link = (search or "").removeprefix("?").removeprefix("s=")
    if not link:
        return first, ""
    try:
        shown = unpack(link)
        if isinstance(shown.source, Scenario):
            explorer.world.choose([shown.source.family])
        return shown, ""
    except PkvError as error:
        return first, str(error)


def page(explorer: Explorer, search: str | None) -> Any:
    """All of it, as an address asks for it."""
    shown, refused = opening(explorer, search)
    return html.Div(
        [
            *_stores(shown),
            html.A("Skip to the view", href="#panels", className="skip"),
            html.Header(
                [
                    html.H1("pkv explorer"),
                    html.Span(explorer.loaded.info.name, className="model mono"),
                    html.Button("Dark", id="theme", type="button", **wild({"aria-pressed": "false"})),
                ]
            ),
            *([html.P(refused, className="banner", role="alert", id="link-refused")] if refused else []),
            prompt.head(),
            html.Main(
                [
                    html.Div(
                        [_tab(view, shown.view) for view in VIEWS],
                        role="tablist",
                        className="tabs",
                        **wild({"aria-label": "views"}),
                    ),
                    *(
                        html.Section(
                            [html.H2(view.capitalize()), *PANELS[view].layout(shown, explorer)],
                            id=f"panel-{view}",
                            role="tabpanel",
                            hidden=view != shown.view,
                            **wild({"aria-labelledby": f"tab-{view}"}),
                        )
                        for view in VIEWS
                    ),
                ],
                id="panels",
            ),
        ]
    )


def register(app: Dash, explorer: Explorer) -> None:
    """All that happens."""

    @app.callback(Output("page", "children"), Input("address", "search"))
    def open_page(search: str | None) -> Any:
        return page(explorer, search)

    app.clientside_callback(
        ClientsideFunction("explore", "show"),
        Output("view", "data"),
        *(Output(f"panel-{view}", "hidden") for view in VIEWS),
        *(Output(f"tab-{view}", "aria-selected") for view in VIEWS),
        *(Output(f"tab-{view}", "tabIndex") for view in VIEWS),
        *(Input(f"tab-{view}", "n_clicks") for view in VIEWS),
        State("view", "data"),
    )
    app.clientside_callback(
        ClientsideFunction("explore", "theme"),
        Output("dark", "data"),
        Output("theme", "aria-pressed"),
        Input("theme", "n_clicks"),
    )
    app.clientside_callback(
        ClientsideFunction("explore", "mode"),
        Output("scenario-box", "hidden"),
        Output("own-box", "hidden"),
        Input("prompt-mode", "data"),
    )
    for store, box in (("words", "notes-words"), ("ends", "compose-words")):
        app.clientside_callback(
            ClientsideFunction("explore", "press"),
            Output(box, "title"),
            Input(store, "data"),
            Input(box, "children"),
            State(store, "id"),
        )
    parts.register(app)
    for panel in PANELS.values():
        panel.register(app, explorer)


def _stores(shown: Shown) -> list[Any]:
    edit_asked = {
        "value": shown.edit.value,
        "wording": shown.edit.wording,
        "methods": list(shown.edit.methods),
    }
    plain = shown.model_dump(mode="json")
    values = {
        "view": shown.view,
        "dark": False,
        "source": plain["source"],
        "words": plain["notes"]["words"],
        "edit": edit_asked,
        "chain": plain["edit"]["chain"],
        "span": plain["compose"]["span"],
        "ends": [],
        "place": shown.compose.to,
        "heads-chosen": [f"{layer}.{head}" for layer, head in shown.heads.chosen],
        "state": None,
        "packed": "",
    }
    return [dcc.Store(id=name, data=value) for name, value in values.items()]


def _tab(view: View, shown: View) -> Any:
    return html.Button(
        view.capitalize(),
        id=f"tab-{view}",
        type="button",
        role="tab",
        tabIndex=0 if view == shown else -1,
        **wild({"aria-selected": "true" if view == shown else "false", "aria-controls": f"panel-{view}"}),
    )
