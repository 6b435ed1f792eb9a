"""The explorer's server: of this machine alone, with nothing from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.explore.chunks import Cut
from experiments.explore.controls import read_state
from experiments.explore.desk import Failed, Running
from experiments.explore.notes import Joint
from experiments.explore.state import State
from pkv_interp.errors import PkvError
from tests.experiments.explore_examples import PATIENCE, SCENARIO, explorer, value

pytest.importorskip("dash", reason="needs the extra `explore`")

from experiments.explore import page, serve  # noqa: E402
from experiments.explore.panels import edit, parts  # noqa: E402
from experiments.explore.permalink import pack  # noqa: E402
from experiments.explore.views import chunks, notes, prompt  # noqa: E402


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


def told(children: object) -> str:
    """All text of some pieces of the page."""
    if isinstance(children, str):
        return children
    if isinstance(children, list | tuple):
        return " ".join(told(child) for child in children)
    return told(getattr(children, "children", None) or "")


def controls(children: object) -> list[Any]:
    """Every control in which a line of an edit is written."""
    if isinstance(children, list | tuple):
        return [found for child in children for found in controls(child)]
    mine = (
        [children] if getattr(children, "id", None) in ("edit-value", "edit-wording", "chain-value") else []
    )
    return [*mine, *controls(getattr(children, "children", None) or ())]


def test_no_control_of_an_edit_takes_a_line_that_no_state_has() -> None:
    """Longer, it would be refused where nobody is told: the page would stand still."""
    found = controls(edit.layout(State(), explorer()))
    assert len(found) == 3
    for control in found:
        most = control.maxLength
        read_state({"kind": "scenario"}, edit=("x" * most, "x" * most, (), ()))
        with pytest.raises(PkvError, match="cannot be read"):
            read_state({"kind": "scenario"}, edit=("x" * (most + 1), "override", (), ()))


def test_a_wrong_side_and_a_gap_that_is_none_are_said_above_everything() -> None:
    found = value(explorer().opened(SCENARIO, PATIENCE))
    right = replace(found, clean=replace(found.clean, right=True), corrupt=replace(found.corrupt, right=True))
    one_wrong = replace(right, corrupt=replace(right.corrupt, right=False))
    assert prompt.BANNER in told(prompt.competence(one_wrong))
    assert prompt.BANNER not in told(prompt.competence(right))
    assert prompt.NO_GAP not in told(prompt.competence(right))
    level = replace(found, corrupt=replace(found.corrupt, margin=found.clean.margin))
    assert prompt.NO_GAP in told(prompt.competence(level))
    made = Joint(None, 1.0, 1.0, 1.0, 1.0)
    assert "–" in told(notes.joint(level, made, 0))
    nothing = np.full(len(found.notes), np.nan)
    assert len(notes.coloured(level, nothing)) >= len(found.pair.case.clean)
    assert notes.grid(level, np.full((3, len(found.notes)), np.nan), dark=True).data


def test_a_word_of_a_chunk_is_told_as_one_and_has_no_recovery() -> None:
    found = value(explorer().opened(SCENARIO, PATIENCE))
    words = [one for one in chunks.marked(found, Cut(20, 28, 20)) if hasattr(one, "data-pos")]
    labels = {int(getattr(one, "data-pos")): getattr(one, "aria-label") for one in words}
    assert sorted(labels) == list(range(len(found.pair.case.clean) - 1))
    assert [position for position, label in labels.items() if "in the chunk" in label] == list(range(20, 28))
    assert not any("recovery" in label for label in labels.values())
    assert all("up" in one.className.split() for one in words[20:28])


def test_what_goes_on_is_asked_after_again_and_what_was_refused_is_not() -> None:
    going_on = [parts.progress(Running(1, 2), "patching")[1] for _ in range(2)]
    assert None not in going_on
    assert going_on[0] != going_on[1]  # the page asks once for each new value
    children, again = parts.progress(Failed("it is none"), "patching")
    assert "it is none" in told(children)
    assert again is None
