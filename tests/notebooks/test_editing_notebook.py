"""The editing notebook runs from top to bottom: live edits on any model, records where there are some."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "editing.ipynb"
LIVE, RECORDED = 2, 5


@pytest.fixture(scope="module")
def executed(kernel: Kernel, editing_results: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook over a record that lacks one table."""
    lacking = tmp_path_factory.mktemp("lacking") / "results"
    shutil.copytree(editing_results, lacking)
    (path,) = (lacking / "editing").glob("*.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["tables"]["planted"]
    path.write_text(json.dumps(record), encoding="utf-8")
    return kernel.execute(NOTEBOOK, lacking, PKV_NOTEBOOK_MODEL="tiny-llama")


@pytest.fixture(scope="module")
def without(kernel: Kernel, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return kernel.execute(NOTEBOOK, tmp_path_factory.mktemp("nothing"), PKV_NOTEBOOK_MODEL="tiny-gemma3")


def test_a_field_is_edited_live(executed: Any) -> None:
    text = printed(executed)
    assert "model tiny-llama" in text
    margins = re.findall(r"margin ([+-]\d+\.\d+)", text)
    assert len(margins) >= 2
    assert "caller standing is now verified, by field_only" in text
    assert re.search(r"the first \d+ columns are bit for bit those of the base: True", text)
    assert text.count("Erratum: the caller standing given above is out of date.") == 2
    assert "and field_only moves nothing; use erratum, full_reprefill, hoist, suffix_recompute" in text
    assert re.search(r"language to Dutch: field_only is (not )?enough, used \w+", text)


def test_figures_of_the_record_stand_beside_the_live_ones(executed: Any) -> None:
    drawn = pages(executed)
    assert len(drawn) == LIVE + RECORDED
    assert not any(re.search(r'src="https?:[^"]*plotly', page) for page in drawn), "scripts must be inline"
    text = printed(executed)
    assert "editing: model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text


def test_a_table_that_is_missing_is_left_out_with_a_line(executed: Any) -> None:
    assert re.search(r"left out: .*has no table 'planted'", printed(executed))


def test_without_a_record_the_live_part_still_runs(without: Any) -> None:
    text = printed(without)
    assert "model tiny-gemma3" in text
    assert "make one with `python -m experiments.editing`" in text
    assert len(pages(without)) == LIVE
