"""Figures on disk: interactive HTML that works offline, and PNG where a browser is there to draw it."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from pkv_interp.files import atomic_write

SCRIPT = "plotly.min.js"
SECONDS = 240.0


def save_html(figures: Mapping[str, go.Figure], folder: Path) -> list[Path]:
    """Write NAME.html for each figure, and once beside them the script that they share.

    Raises:
        PkvError: the folder cannot be written to, or the disk is full.
    """
    script = get_plotlyjs().encode()
    if not (folder / SCRIPT).is_file() or (folder / SCRIPT).stat().st_size != len(script):
        atomic_write(folder / SCRIPT, script)
    paths = []
    for name, figure in figures.items():
        # A fixed id instead of a random one: the same record gives the same bytes.
        page = figure.to_html(include_plotlyjs=SCRIPT, div_id=name, full_html=True)
        paths.append(folder / f"{name}.html")
        atomic_write(paths[-1], page.encode())
    return paths


def find_browser() -> str | None:
    """A browser that kaleido can use (``BROWSER_PATH``, its own download, or one on the path), or None.

    None as well where kaleido is not installed.
    """
    try:
        from choreographer.browsers.chromium import Chromium
    except ImportError:
        return None
    found = os.environ.get("BROWSER_PATH") or Chromium.find_browser(skip_local=False)
    return found if found and Path(found).is_file() else None


def save_png(figures: Mapping[Path, go.Figure], browser: str, *, scale: float = 1.5) -> str | None:
    """Draw figures as PNG files in one browser; says in one line what went wrong, None when nothing did.

    Pictures come beside the HTML, so a browser that fails costs pictures only.

    Args:
        figures: by the path of the file to write.
        browser: path of a Chromium or Chrome.
        scale: pixels of the picture per pixel of the figure.
    """
    import kaleido
    from choreographer.errors import DevtoolsProtocolError
    from kaleido.errors import JavascriptError, KaleidoError

    logging.getLogger("choreographer").setLevel(logging.CRITICAL)
    logging.getLogger("kaleido").setLevel(logging.CRITICAL)
    wanted: list[Any] = [
        {"fig": figure, "path": str(path), "opts": {"format": "png", "scale": scale}}
        for path, figure in figures.items()
    ]
    # Formulas are not used, and fetching their typesetter would need the network.
    options = {"mathjax": False, "path": browser, "timeout": SECONDS}

    async def draw() -> Any:
        return await asyncio.wait_for(kaleido.write_fig_from_object(wanted, kopts=options), timeout=SECONDS)

    try:
        errors = finished(draw)
    except (
        DevtoolsProtocolError,
        JavascriptError,
        KaleidoError,
        OSError,
        RuntimeError,
        TimeoutError,
    ) as error:
        return _one_line(error)
    return _one_line(errors[0]) if errors else None


def finished(work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What a coroutine returns; in a notebook, whose event loop runs already, from a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work())
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(lambda: asyncio.run(work())).result()


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:200]
