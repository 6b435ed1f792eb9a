"""Serving the page on this machine, and on no other."""

import socket
import sys
import time
import webbrowser

from dash import Dash
from flask import Flask, Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from experiments.explore import page
from experiments.explore.explorer import Explorer
from experiments.explore.settings import ExploreSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.load import load

HOST = "127.0.0.1"
#: Nothing is loaded from elsewhere, whatever a component asks for; scripts of the page itself stand in it.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)
#: The page around the page: in English, with nothing but what the explorer itself serves.
_HTML = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}</head>
<body>{%app_entry%}<footer>{%config%}{%scripts%}{%renderer%}</footer></body>
</html>
"""
_NAMES = frozenset({HOST, "localhost"})


class _Quiet(WSGIRequestHandler):
    """Requests leave no line each."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


def application(explorer: Explorer) -> Dash:
    """The page as a Dash application."""
    app = Dash(
        __name__,
        title="pkv explorer",
        update_title="",
        serve_locally=True,
        suppress_callback_exceptions=True,
        add_log_handler=False,
        assets_folder="assets",
        index_string=_HTML,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = page.frame
    page.register(app, explorer)
    _guard(app.server)
    return app


def _guard(server: Flask) -> None:
    @server.before_request
    def _of_this_machine() -> None:
        # A page of elsewhere whose name was made to point here would otherwise read what is served.
        if request.host.rpartition(":")[0] not in _NAMES and request.host not in _NAMES:
            abort(403)

    @server.after_request
    def _nothing_from_elsewhere(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


def check_port(port: int) -> None:
    """Refuse a port that is taken, before a model is loaded for it.

    Raises:
        PkvError: it is.
    """
    with socket.socket() as probe:
        # As the server itself does: a port that was let go a moment ago is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise _taken(port) from error


def _taken(port: int) -> PkvError:
    return PkvError(f"port {port} of {HOST} cannot be used", "set port=0 for any free one")


def listening(app: Dash, port: int) -> BaseWSGIServer:
    """A server that listens; requests wait until it serves.

    Raises:
        PkvError: the port is taken.
    """
    try:
        return make_server(HOST, port, app.server, threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit) as error:
        raise _taken(port) from error


def serve(settings: ExploreSettings) -> None:
    """Load the model and serve the page until the user stops it.

    Raises:
        PkvError: the model cannot be loaded, or the port is taken.
    """
    begin = time.monotonic()
    check_port(settings.port)
    explorer = Explorer(load(settings.model), settings)
    server = listening(application(explorer), settings.port)
    address = f"http://{HOST}:{server.server_port}"
    took = time.monotonic() - begin
    sys.stdout.write(
        f"{settings.model.name} is at {address} on this machine (loaded in {took:.0f} s; Ctrl+C ends it)\n"
    )
    sys.stdout.flush()
    if settings.browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.stdout.write("\n")
    finally:
        server.server_close()
