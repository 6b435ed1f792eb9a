"""Notebooks executed as a reader would, on records of a test's own, and what they put out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.runs import ONE_THREAD, ROOT

SECONDS = 300


def execute(path: Path, results: Path, **environment: str) -> Any:
    """The notebook run from top to bottom at the repository's root, with ``results`` as its records."""
    notebook = nbformat.read(path, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**ONE_THREAD, "PKV_RESULTS": str(results), **environment}.items():
            patch.setenv(name, value)
        NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(ROOT)}}).execute()
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
