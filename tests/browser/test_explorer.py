"""The explorer in a real browser, on the tiny model: what the page shows is what the library says."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.explore.state import VIEWS, Edit, Notes, State
from tests.experiments.explore_examples import PATIENCE, explorer, value

pytestmark = pytest.mark.browser
LOOKS = [("wide", "light"), ("narrow", "dark")]
#: What a view has when it is there.
THERE = {
    "prompt": "#prompt-tokens .word",
    "notes": "#notes-words button",
    "heads": "#heads-curve .scatterlayer .trace",
    "edit": "#edit-table table",
    "compose": "#compose-table table",
    "export": "#picture .scatterlayer",
}


@pytest.fixture(scope="module")
def served(browser: Any) -> Iterator[str]:  # noqa: ARG001 - without a browser nothing is served
    """The address of an explorer of the tiny model."""
    pytest.importorskip("dash", reason="needs the extra `explore`")
    from experiments.explore.serve import HOST, application, listening

    server = listening(application(explorer()), 0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://{HOST}:{server.server_port}"
    server.shutdown()
    thread.join()


@pytest.fixture
def opened(served: str, open_page: Callable[..., Any]) -> Callable[..., Any]:
    """Opens the explorer and waits for the pair."""

    def one(search: str = "", width: str = "wide", colours: str = "light") -> Any:
        watched = open_page(f"{served}/{search}", width, colours)
        watched.page.set_default_timeout(PATIENCE * 1000)
        watched.page.wait_for_selector("#competence .side")
        return watched

    return one


def show(page: Any, view: str) -> None:
    page.click(f"#tab-{view}")
    page.wait_for_selector(THERE[view])


def number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def shown_state(page: Any) -> State:
    """The state that the page's address holds."""
    from experiments.explore.permalink import unpack

    return unpack(page.url.partition("?s=")[2])


def choose(page: Any, scenario: str) -> None:
    """Choose a scenario by its menu, and wait until the page is of it."""
    page.select_option("#scenario-family-menu", scenario)
    field = explorer().world.by_name[scenario].field
    page.wait_for_function(
        "([id, words]) => document.querySelector(id).textContent.includes(words)",
        arg=["#prompt-tokens", field],
    )


def test_two_words_of_a_chosen_scenario_move_the_margin_as_the_library_says(opened: Any) -> None:
    watched = opened()
    page = watched.page
    choose(page, "support")
    show(page, "notes")
    words = page.locator("#notes-words button")
    for at in (3, 8):
        words.nth(at).click()
    positions = [int(words.nth(at).get_attribute("data-pos")) for at in (3, 8)]
    row = page.locator("#notes-joint tr.chosen", has_text="2 chosen words")
    row.wait_for()
    state = shown_state(page)
    assert state.source.family == "support"  # pyright: ignore[reportAttributeAccessIssue]
    assert list(state.notes.words) == positions
    made = value(explorer().joint(state, PATIENCE))
    assert made.words is not None
    assert number(row.locator("td").first.inner_text()) == pytest.approx(made.words, abs=0.006)
    page.click("#notes-clear")
    page.wait_for_selector("#notes-joint tr.chosen", state="detached")
    assert page.locator('#notes-words [aria-pressed="true"]').count() == 0
    assert watched.errors == []


def test_a_broken_field_says_so_and_the_last_prompt_stays(opened: Any) -> None:
    page = opened().page
    before = page.inner_text("#competence")
    page.get_by_role("radio", name="my own").click()
    page.fill("#own-context", "order status: [[order status pending | shipped]]")
    page.click("#own-run")
    page.wait_for_selector("#prompt-refused:has-text('no name before a colon')")
    assert page.inner_text("#competence") == before
    page.fill("#own-context", "order status: [[order status: pending | shipped]]\nCancel what is pending.")
    page.fill("#own-first", "cancel")
    page.fill("#own-second", "deny everything")
    page.click("#own-run")
    page.wait_for_selector("#prompt-refused:has-text('is read from one')")
    page.fill("#own-second", "deny")
    page.click("#own-run")
    page.wait_for_function("() => document.querySelector('#prompt-refused').textContent === ''")
    page.wait_for_selector("#competence :text('shipped')")


def test_a_button_marks_what_is_selected_as_the_field(opened: Any) -> None:
    page = opened().page
    page.get_by_role("radio", name="my own").click()
    page.fill("#own-context", "The stamp is red today.\nRed goes up; any other goes down. Ink: black.")

    def marked(words: str, then: str) -> str:
        at = page.input_value("#own-context").index(words)
        page.evaluate(
            "([at, end]) => document.querySelector('#own-context').setSelectionRange(at, end)",
            [at, at + len(words)],
        )
        page.click("#own-mark")
        page.wait_for_function(
            "(text) => document.querySelector('#own-context').value.includes(text)", arg=then
        )
        return page.input_value("#own-context")

    assert marked(" red ", "[[field: red | other value]]").startswith(
        "The stamp is [[field: red | other value]] today.\n"
    )
    page.wait_for_function("() => document.activeElement.id === 'own-context'")
    page.keyboard.type("stamp")  # its name is selected, and is typed over
    # A prompt has one field with two values, so that a further one is given a single value.
    assert marked("black", "[[field: black]]").endswith("Ink: [[field: black]].")
    assert "[[stamp: red | other value]]" in page.input_value("#own-context")


def test_an_erratum_of_ones_own_and_a_chain_of_edits(opened: Any) -> None:
    page = opened().page
    show(page, "edit")
    page.fill("#edit-wording", "Note well: {field} is now {value}.")
    page.click("#edit-run")
    state = State(source=shown_state(page).source, edit=Edit(wording="Note well: {field} is now {value}."))
    tried = {one.method: one for one in value(explorer().edits(state, PATIENCE)).tried}
    cell = page.locator("#edit-table tr", has_text=re.compile("^erratum")).locator("td").nth(1)
    page.wait_for_function(
        "([id, text]) => [...document.querySelectorAll(id)].some((row) => row.textContent.includes(text))",
        arg=["#edit-table tr", f"{tried['erratum'].kl:.4f}"],
    )
    assert number(cell.inner_text()) == pytest.approx(tried["erratum"].margin, abs=0.006)
    page.click("#chain-add")
    page.wait_for_selector("#chain-steps li:has-text('erratum')")
    page.click("#chain-add")
    page.wait_for_function("() => document.querySelectorAll('#chain-steps li').length === 2")
    for _ in range(100):  # the address follows the list
        if len(shown_state(page).edit.chain) == 2:
            break
        page.wait_for_timeout(100)
    assert [step.method for step in shown_state(page).edit.chain] == ["erratum", "erratum"]
    page.click("#chain-back")
    page.wait_for_function("() => document.querySelectorAll('#chain-steps li').length === 1")


def test_a_permalink_opens_where_it_was_made(opened: Any) -> None:
    from experiments.explore.permalink import pack

    state = State(view="notes", notes=Notes(part="V", layers=(1, 2), words=(60, 70)))
    page = opened(f"?s={pack(state)}").page
    page.wait_for_selector("#notes-joint tr.chosen")
    pressed = page.locator('#notes-words [aria-pressed="true"]')
    assert [pressed.nth(i).get_attribute("data-pos") for i in range(2)] == ["60", "70"]
    made = value(explorer().joint(state, PATIENCE))
    told = page.locator("#notes-joint tr.chosen td").first.inner_text()
    assert made.words is not None
    assert number(told) == pytest.approx(made.words, abs=0.006)
    assert shown_state(page) == state
    broken = opened("?s=AAAA").page
    assert "damaged" in broken.inner_text("#link-refused")


def test_a_chunk_is_chosen_by_its_ends_and_heads_by_a_click(opened: Any) -> None:
    page = opened().page
    show(page, "compose")
    words = page.locator("#compose-words button")
    for at in (30, 36):
        words.nth(at).click()
    page.wait_for_selector('#compose-table :text("chunk\'s 7 tokens")')
    assert shown_state(page).compose.span == (30, 37)
    show(page, "heads")
    box = page.locator("#heads-map .nsewdrag").bounding_box()
    page.mouse.click(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_selector("#heads-joint strong")
    assert shown_state(page).heads.chosen == ((1, 2),)


def test_the_record_that_is_saved_is_of_the_schema(opened: Any, tmp_path: Path) -> None:
    from pkv_interp.records import read

    page = opened().page
    show(page, "export")
    with page.expect_download() as download:
        page.click("#record-save")
    place = tmp_path / download.value.suggested_filename
    download.value.save_as(place)
    assert read(place).experiment == "explore"
    assert json.loads(place.read_text())["config"]["state"]["view"] == "export"
    assert "KVPatch" in page.inner_text("#snippet")
    with page.expect_download() as picture:
        page.click('[data-save="picture"][data-form="svg"]')
    assert Path(picture.value.path()).read_text().startswith("<svg")


@pytest.mark.parametrize(("width", "colours"), LOOKS, ids=[f"{w}-{c}" for w, c in LOOKS])
def test_every_view_is_legible_and_asks_nobody_else(
    opened: Any, served: str, serious: Callable[[Any], list[str]], width: str, colours: str
) -> None:
    watched = opened(width=width, colours=colours)
    page, asked = watched.page, []
    page.on("request", lambda request: asked.append(request.url))
    for view in VIEWS:
        show(page, view)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), view
        assert serious(page) == [], view
    assert [url for url in asked if not url.startswith((served, "blob:", "data:"))] == []
    assert page.evaluate("document.documentElement.dataset.theme") == colours
    assert watched.errors == []


def test_tabs_and_words_are_reached_by_keys(opened: Any) -> None:
    page = opened().page
    page.focus("#tab-prompt")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(THERE["notes"])
    assert page.evaluate("document.activeElement.id") == "tab-notes"
    page.focus("#notes-words button")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    page.wait_for_selector("#notes-joint tr.chosen")
    second = page.locator("#notes-words button").nth(1)
    assert second.get_attribute("aria-pressed") == "true"
