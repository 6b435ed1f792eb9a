"""The explorer's server: of this machine alone, with nothing from elsewhere."""

from __future__ import annotations

import pytest

from experiments.explore.state import State
from pkv_interp.errors import PkvError
from tests.experiments.explore_examples import explorer

pytest.importorskip("dash", reason="needs the extra `explore`")

from experiments.explore import page, serve  # noqa: E402
from experiments.explore.permalink import pack  # noqa: E402


def test_a_page_of_elsewhere_reads_nothing() -> None:
    client = serve.application(explorer()).server.test_client()
    here = client.get("/", headers={"Host": "127.0.0.1:8050"})
    assert here.status_code == 200
    assert "default-src 'self'" in here.headers["Content-Security-Policy"]
    assert "http" not in here.headers["Content-Security-Policy"]
    assert client.get("/", headers={"Host": "localhost"}).status_code == 200
    for host in ("evil.example", "127.0.0.1.evil.example:8050", "evil.example:8050"):
        assert client.get("/", headers={"Host": host}).status_code == 403


def test_it_listens_on_this_machine_alone_and_says_where_a_port_is_taken() -> None:
    app = serve.application(explorer())
    server = serve.listening(app, 0)
    try:
        assert server.server_address[0] == "127.0.0.1"
        with pytest.raises(PkvError, match=f"port {server.server_port} .* port=0"):
            serve.listening(app, server.server_port)
        with pytest.raises(PkvError, match="port=0"):
            serve.check_port(server.server_port)
    finally:
        server.server_close()


def test_an_address_opens_its_state_and_a_broken_one_the_first_scenario() -> None:
    state = State(view="compose")
    assert page.opening(explorer(), f"?s={pack(state)}") == (state, "")
    first, told = page.opening(explorer(), "?s=zz")
    assert "damaged" in told
    assert first.source.kind == "scenario"
    unknown = State.model_validate({"source": {"kind": "scenario", "family": "nowhere"}})
    assert "nowhere" in page.opening(explorer(), f"?s={pack(unknown)}")[1]
