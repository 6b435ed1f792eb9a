"""The mechanism notebook runs from top to bottom on whatever records there are, without a network."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "mechanism.ipynb"
FIGURES = {"blast_radius": 5, "patching": 11}


@pytest.fixture(scope="module")
def executed(
    kernel: Kernel,
    blast_radius_results: Path,
    patching_results: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    results = tmp_path_factory.mktemp("mechanism") / "results"
    for made in (blast_radius_results, patching_results):
        shutil.copytree(made, results, dirs_exist_ok=True)
    return kernel.execute(NOTEBOOK, results)


@pytest.fixture(scope="module")
def without(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return kernel.execute(NOTEBOOK, tmp_path_factory.mktemp("nothing"))


def test_it_says_which_records_it_read_and_which_it_lacks(executed: Any) -> None:
    text = printed(executed)
    for experiment in FIGURES:
        assert f"{experiment}: no record of smollm2-135m-gate" in text
        assert f"{experiment}: model tiny-llama, record tiny-llama-" in text
    assert text.count("python -m experiments.") == 1
    assert "make one with `python -m experiments.controls`" in text
    assert NOT_COMPETENT in text


def test_every_figure_is_inline(executed: Any) -> None:
    drawn = pages(executed)
    assert len(drawn) == sum(FIGURES.values())
    assert all("Plotly.newPlot" in page for page in drawn)
    assert not any(re.search(r'src="https?:[^"]*plotly', page) for page in drawn), "scripts must be inline"


def test_the_summary_claims_nothing_for_an_incompetent_model(executed: Any) -> None:
    text = printed(executed)
    assert re.search(r"reaches \d\.\d+ \[.*\] of the tokens after it", text), text
    assert "patching states no field_only or notes_only: the model did not pass the gate" in text
    assert "Refreshing the field alone recovers" not in text


def test_without_records_it_names_the_commands(without: Any) -> None:
    text = printed(without)
    for experiment in (*FIGURES, "controls"):
        assert text.count(f"make one with `python -m experiments.{experiment}`") == 1
    assert pages(without) == []
    assert "Nothing yet" in text
