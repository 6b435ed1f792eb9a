"""The companion site in a real browser, from a folder: it loads, it is legible, it answers."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.site.build import MOST, build
from experiments.site.links import broken
from experiments.site.settings import SiteSettings
from tests.browser.conftest import WIDTHS
from tests.documents import ROOT

pytestmark = pytest.mark.browser
#: Pages that are looked at whole; of all others every link is followed.
READ = ("index", "prompt", "explainer", "mechanism", "methods", "records/circuit--smollm2-135m-gate")


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """The site of the committed records, without notebooks; ``PKV_SITE`` names one that was built before."""
    if "PKV_SITE" in os.environ:
        return Path(os.environ["PKV_SITE"])
    folder = tmp_path_factory.mktemp("site") / "built"
    settings = {"results_dir": ROOT / "results", "output_dir": folder, "notebooks": "none"}
    build(SiteSettings.model_validate(settings))
    return folder


def at(site: Path, name: str) -> str:
    return (site / f"{name}.html").as_uri()


def draw_all(page: Any) -> int:
    """Draw every figure of a page, on the screen or not, and say how many there are."""
    return page.evaluate(
        """async () => {
            const plots = [...document.querySelectorAll(".plot[data-figure]")];
            for (const plot of plots) await window.pkvDraw(plot);
            const busy = () => plots.some((plot) => plot.dataset.drawn !== "done");
            while (busy()) await new Promise((go) => setTimeout(go, 50));
            return plots.filter((plot) => plot.querySelector("svg.main-svg")).length;
        }"""
    )


def test_every_link_and_figure_of_the_folder_is_there_and_it_is_light(site: Path) -> None:
    files = {
        path.relative_to(site).as_posix(): path.read_bytes() for path in site.rglob("*") if path.is_file()
    }
    assert broken(files) == []
    assert sum(map(len, files.values())) < MOST
    assert len([name for name in files if name.endswith(".html")]) > 40
    outside = [
        name
        for name, content in files.items()
        if re.search(rb'(?:src|href)="(?:https?:)?//[^"]*\.(?:js|css|woff)', content)
    ]
    assert outside == [], "a page must not need the network"


@pytest.mark.parametrize("name", READ)
def test_a_page_draws_its_figures_without_an_error(
    site: Path, name: str, open_page: Callable[..., Any]
) -> None:
    watched = open_page(at(site, name))
    figures = draw_all(watched.page)
    assert figures == watched.page.locator(".plot[data-figure]").count()
    assert figures > 0 or name in ("prompt", "methods")
    assert watched.errors == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["index", "mechanism", "records/circuit--smollm2-135m-gate"])
def test_a_page_is_legible_and_has_no_serious_fault(
    site: Path,
    name: str,
    width: str,
    open_page: Callable[..., Any],
    serious: Callable[[Any], list[str]],
) -> None:
    page = open_page(at(site, name), width).page
    papers = set()
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert serious(page) == [], colours
    assert len(papers) == 2
    across = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert across[0] <= across[1], "the page is wider than its window"
    assert (
        float(page.evaluate("parseFloat(getComputedStyle(document.querySelector('main p')).fontSize)")) >= 16
    )


def test_words_are_chosen_by_mouse_and_keys_and_answer_as_the_record_does(
    site: Path, open_page: Callable[..., Any]
) -> None:
    data = json.loads((site / "assets" / "prompt-data.js").read_text().partition("=")[2].rstrip(";\n"))
    single = data["parts"]["KV"]["single"]
    best = max(range(len(single)), key=single.__getitem__)
    watched = open_page(at(site, "prompt"))
    page = watched.page
    said = page.locator(".said")
    assert said.inner_text().startswith("Nothing is put in")
    page.get_by_role("button", name="Strongest word").click()
    assert f"recovery {single[best]:.2f}" in said.inner_text()
    assert page.locator(".words button[aria-pressed=true]").count() == 1
    page.get_by_role("button", name="Clear", exact=True).click()
    words = page.locator(".words button")
    words.first.focus()
    for _ in range(best):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert words.nth(best).get_attribute("aria-pressed") == "true"
    assert f"recovery {single[best]:.2f}" in said.inner_text()
    assert watched.errors == []


def test_a_number_leads_to_its_record_and_field(site: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(at(site, "index")).page
    number = page.locator("section a.num").first
    written = float(number.inner_text().replace("−", "-"))
    number.focus()
    assert "/headline/" in page.locator("[role=tooltip]").inner_text()
    number.click()
    row = page.locator("tr:target")
    assert "/records/" in page.url
    assert float(row.locator("td").nth(1).inner_text()) == pytest.approx(written, abs=0.006)


def test_colours_change_and_stay(site: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(at(site, "index")).page
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    for _ in range(2):
        page.locator("#theme").click()
    assert page.evaluate(paper) != light
    assert page.locator("#theme").get_attribute("aria-label") == "Colours: dark"


def test_a_figure_tells_its_numbers(site: Path, open_page: Callable[..., Any]) -> None:
    page = open_page(at(site, "mechanism")).page
    draw_all(page)
    button = page.get_by_role("button", name="Numbers").first
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    assert page.locator("figcaption .table tr").count() > 2
    long = "tableOf({ data: [{ z: Array(30).fill(Array(20).fill(1)) }] })"
    assert page.evaluate(f"{long}.rows.length") == 1 + 400 + 1
    assert page.evaluate(f"{long}.textContent.endsWith('200 more are in the record')")
