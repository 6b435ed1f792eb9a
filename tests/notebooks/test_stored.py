"""Notebooks as they are stored: no outputs, and no figure in the text that a record would outdate."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.executing import ROOT, outputs

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def test_all_of_them_are_found() -> None:
    told = {"circuit", "mechanism", "editing", "composing", "memory", "origin"}
    assert {path.stem for path in NOTEBOOKS} >= told | {"serving", "programmable", "reach"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert list(outputs(notebook)) == []
    assert all(cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.parametrize("name", ["mechanism", "editing", "composing", "memory", "origin", "serving"])
def test_its_text_states_no_measured_figure(name: str) -> None:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    text = "".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.findall(r"(?<![\w.])\d+\.\d+(?![\d.])", text.replace("arXiv 2606.17107", "")) == [
        "2606.17107"  # the address of the paper
    ]
