"""The origin notebook runs from top to bottom on whatever records there are, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "origin.ipynb"
#: Figures that it draws; anatomy's, and two of origin's, are of an untrained model too.
FIGURES = {"patching": 1, "origin": 3 + 2, "anatomy": 2 * 5}


UNTRAINED = "qwen2.5-coder-0.5b@python_script"


def renamed(results: Path) -> None:
    """Records as if they were of the untrained model, beside the others; readers were not trained in code."""
    for experiment in FIGURES:
        (path,) = (results / experiment).glob("*.json")
        record = json.loads(path.read_text())
        name, _, layout = UNTRAINED.partition("@")
        record["model"]["name"] = name
        record["config"]["layout"] = layout if experiment != "origin" else None
        record["started_at"] = "2026-01-01T00:00:00Z"  # not the newest, so that it must be asked for
        path.with_name("renamed.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def executed(
    kernel: Kernel, small_results: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    results = tmp_path_factory.mktemp("origin") / "results"
    for experiment in FIGURES:
        shutil.copytree(small_results(experiment), results, dirs_exist_ok=True)
    renamed(results)
    return kernel.execute(NOTEBOOK, results)


def test_every_figure_is_there_and_says_what_it_is_of(executed: Any) -> None:
    assert len(pages(executed)) == sum(FIGURES.values())
    text = printed(executed)
    assert f"patching: model {UNTRAINED}, record renamed.json" in text
    assert f"anatomy: model {UNTRAINED}, record renamed.json" in text
    assert "origin: model qwen2.5-coder-0.5b, record renamed.json" in text
    assert "origin: no record of qwen2.5-coder-1.5b" in text
    assert "anatomy: model tiny-llama, record tiny-llama-" in text
    assert "origin: model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text


def test_the_summary_claims_nothing_for_an_incompetent_model(executed: Any) -> None:
    text = printed(executed)
    assert "- tiny-llama: anatomy states no notes_k_only or notes_v_only." in text
    assert "keys of the notes recover" not in text


def test_another_model_does_not_stand_in_for_the_untrained_one(
    kernel: Kernel, small_results: Callable[[str], Path], tmp_path: Path
) -> None:
    results = Path(shutil.copytree(small_results("anatomy"), tmp_path / "results"))
    notebook = kernel.execute(NOTEBOOK, results)
    assert f"anatomy: no record of {UNTRAINED} under" in printed(notebook)
    assert len(pages(notebook)) == 5


def test_without_records_it_names_the_commands(kernel: Kernel, tmp_path: Path) -> None:
    bare = kernel.execute(NOTEBOOK, tmp_path)
    text = printed(bare)
    for experiment in ("origin", "anatomy"):
        assert f"make one with `python -m experiments.{experiment}`" in text
    for experiment in ("patching", "anatomy"):
        given = "model=qwen2.5-coder-0.5b layout=python_script"
        assert f"make one with `python -m experiments.{experiment} {given}`" in text
    assert pages(bare) == []
    assert "Nothing yet" in text
