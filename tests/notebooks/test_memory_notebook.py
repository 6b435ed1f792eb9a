"""The memory notebook runs from top to bottom: a live memory on any model, records where there are some."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "memory.ipynb"
LIVE = 1
FIGURES = {"memory": 5, "locomo": 1}


@pytest.fixture(scope="module")
def executed(
    kernel: Kernel, small_results: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    results = tmp_path_factory.mktemp("memory_notebook") / "results"
    shutil.copytree(small_results("memory"), results)
    return kernel.execute(NOTEBOOK, results, PKV_NOTEBOOK_MODEL="tiny-llama")


def test_a_memory_is_refused_what_cannot_be_and_forgets(executed: Any) -> None:
    text = printed(executed)
    assert re.search(r"model tiny-llama: a memory of \d+ tokens, 8 settings", text)
    assert "the memory has no setting 'kettle popups'" in text
    assert "needs another number of tokens" in text
    assert "this memory is attached already" in text
    assert "the conversation is empty" in text
    assert "forgotten, saved and read again: 7 settings, False" in text


def test_figures_of_the_record_stand_beside_the_live_one_and_the_missing_one_is_told(executed: Any) -> None:
    drawn = pages(executed)
    assert len(drawn) == LIVE + FIGURES["memory"]
    assert not any(re.search(r'src="https?:[^"]*plotly', page) for page in drawn), "scripts must be inline"
    text = printed(executed)
    assert "memory: model tiny-llama, record tiny-llama-" in text
    assert "make one with `python -m experiments.locomo model=smollm2-135m-base`" in text
    assert NOT_COMPETENT in text
    assert "This record states no transplant_agreement or no_rotation_agreement" in text
    # Of random weights no arm is competent, so nothing was tested.
    assert re.findall(r"has no table '(\w+)'", text) == ["parity", "tests"]
