"""Notebooks executed as a reader would, on records of a test's own, and what they put out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from tests.runs import ONE_THREAD, ROOT

SECONDS = 300


class Kernel:
    """One kernel that runs notebooks one after another, from top to bottom, at the repository's root.

    A notebook finds no name and no setting of the one before it. What that one has imported stays so: it
    takes longer than most notebooks do.
    """

    def __init__(self) -> None:
        """It starts with its first notebook."""
        place = {"metadata": {"path": str(ROOT)}}
        self._client = NotebookClient(new_notebook(), timeout=SECONDS, kernel_name="python3", resources=place)

    def execute(self, path: Path, results: Path, **environment: str) -> Any:
        """A notebook with ``results`` as its records and these variables in its environment."""
        given = {**os.environ, **ONE_THREAD, "PKV_RESULTS": str(results), **environment}
        fresh = f"%reset -f\nimport os\nos.environ.clear()\nos.environ.update({given!r})\n%reset -f"
        self._run(new_notebook(cells=[new_code_cell(fresh)]))
        return self._run(nbformat.read(path, as_version=4))

    def close(self) -> None:
        """End it."""
        self._run(new_notebook(), cleanup_kc=True)

    def _run(self, notebook: Any, cleanup_kc: bool = False) -> Any:
        self._client.nb = notebook
        self._client.execute(cleanup_kc=cleanup_kc)
        return notebook


def outputs(notebook: Any) -> Iterator[Any]:
    """Every output of every cell."""
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def printed(notebook: Any) -> str:
    """What it wrote to stdout."""
    return "".join(
        out.text for out in outputs(notebook) if out.output_type == "stream" and out.name == "stdout"
    )


def pages(notebook: Any) -> list[str]:
    """The HTML of every figure."""
    return [
        out.data["text/html"]
        for out in outputs(notebook)
        if "application/vnd.plotly.v1+json" in out.get("data", {})
    ]
