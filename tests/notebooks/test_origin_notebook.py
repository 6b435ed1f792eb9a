"""The origin notebook runs from top to bottom on whatever records there are, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import execute, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "origin.ipynb"
#: Figures that it draws; anatomy's stand there for an untrained model and for the preferred one.
FIGURES = {"patching": 1, "origin": 3, "anatomy": 2 * 5}


@pytest.fixture(scope="module")
def executed(small_results: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    results = tmp_path_factory.mktemp("origin") / "results"
    for experiment in FIGURES:
        shutil.copytree(small_results(experiment), results, dirs_exist_ok=True)
    return execute(NOTEBOOK, results)


def test_every_figure_is_there_and_says_what_it_is_of(executed: Any) -> None:
    assert len(pages(executed)) == sum(FIGURES.values())
    text = printed(executed)
    assert "anatomy: no record of qwen2.5-coder-0.5b@python_script" in text
    assert "origin: model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text


def test_the_summary_claims_nothing_for_an_incompetent_model(executed: Any) -> None:
    text = printed(executed)
    assert "- tiny-llama: anatomy states no notes_k_only or notes_v_only." in text
    assert "keys of the notes recover" not in text


def test_without_records_it_names_the_commands(tmp_path: Path) -> None:
    bare = execute(NOTEBOOK, tmp_path)
    text = printed(bare)
    for experiment in FIGURES:
        assert f"make one with `python -m experiments.{experiment}`" in text
    assert pages(bare) == []
    assert "Nothing yet" in text
