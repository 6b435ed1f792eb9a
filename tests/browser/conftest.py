"""A real browser for tests: Debian's Chromium, driven by Playwright. Without one they are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

#: Widths of a telephone and of a desk.
WIDTHS = {"narrow": (390, 844), "wide": (1440, 900)}
HINT = "needs Chromium and Playwright: `apt-get install chromium` and `pip install -e '.[site]'`"


def chromium() -> str | None:
    """Path of a Chromium: ``PKV_CHROMIUM``, or Debian's."""
    named = os.environ.get("PKV_CHROMIUM")
    return named or next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Watched:
    """A page and what went wrong on it.

    Attributes:
        page: Playwright's page.
        errors: what it wrote to the console as an error, what it threw, what it asked for and did not get.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", lambda asked: self.errors.append(f"{asked.url}: {asked.failure}"))
        page.on(
            "response",
            lambda got: self.errors.append(f"{got.url}: {got.status}") if got.status >= 400 else None,
        )


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One Chromium for the tests of a file: while Playwright runs, its thread can run no other event loop."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip(HINT)
    path = chromium()
    if path is None:
        pytest.skip(HINT)
    with sync_playwright() as playwright:
        # Run by root, as in a container, Chromium has no sandbox; pages that are tested are our own.
        opened = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Watched]]:
    """Opens pages: by address, ``width`` ("wide" or "narrow") and ``colours`` ("light" or "dark")."""
    contexts = []

    def opened(address: str, width: str = "wide", colours: str = "light") -> Watched:
        across, down = WIDTHS[width]
        context = browser.new_context(
            viewport={"width": across, "height": down}, color_scheme=colours, reduced_motion="reduce"
        )
        contexts.append(context)
        watched = Watched(context.new_page())
        watched.page.goto(address)
        return watched

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def serious(browser: Any) -> Callable[[Any], list[str]]:  # noqa: ARG001
    """What axe-core finds on a page that is serious or critical, each with its first place."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason=HINT).Axe()

    def found(page: Any) -> list[str]:
        violations = axe.run(page).response["violations"]
        return [
            f"{one['id']}: {one['help']}, {len(one['nodes'])} places, first {one['nodes'][0]['html'][:200]}"
            for one in violations
            if one["impact"] in ("serious", "critical")
        ]

    return found
