"""The notebook on programmable caches: live edits on any model, records where there are some."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.plots.tables import NOT_COMPETENT
from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "programmable.ipynb"


@pytest.fixture(scope="module")
def executed(kernel: Kernel, small_results: Callable[[str], Path]) -> Any:
    return kernel.execute(NOTEBOOK, small_results("programmable"), PKV_NOTEBOOK_MODEL="tiny-llama")


def test_an_isolated_edit_and_a_blind_splice_are_exact_and_others_are_not(executed: Any) -> None:
    (table,) = [
        out.data["text/plain"]
        for cell in executed.cells
        for out in cell.get("outputs", [])
        if "off by (logits)" in out.get("data", {}).get("text/plain", "")
    ]
    rows = re.findall(r"(True|False) +(True|False) +(\S+)", table)
    assert [(isolated, exact) for isolated, exact, _ in rows] == [
        ("False", "False"), ("True", "True"), ("False", "False"), ("True", "True"),
    ]  # fmt: skip
    assert all((float(apart) < 1e-4) == (isolated == "True") for isolated, _, apart in rows)
    off = dict(re.findall(r"^(.+?) +off by (\S+) logits", printed(executed), re.MULTILINE))
    assert float(off["policy spliced in"]) < 1e-4
    assert float(off["plain prefill"]) > 1e-3


def test_every_figure_is_there_and_says_what_it_is_of(executed: Any) -> None:
    assert len(pages(executed)) == 6
    text = printed(executed)
    assert "programmable: model tiny-llama, record tiny-llama-" in text
    assert NOT_COMPETENT in text


def test_without_a_record_it_names_the_command(kernel: Kernel, tmp_path: Path) -> None:
    bare = kernel.execute(NOTEBOOK, tmp_path, PKV_NOTEBOOK_MODEL="tiny-llama")
    assert "make one with `python -m experiments.programmable`" in printed(bare)
    assert pages(bare) == []
