"""The notebook about architectures runs from top to bottom on whatever records there are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "reach.ipynb"


def test_it_shows_the_record_of_the_table(
    kernel: Kernel, small_results: Callable[[str], Path], tmp_path: Path
) -> None:
    results = Path(shutil.copytree(small_results("architectures"), tmp_path / "results"))
    shutil.copytree(small_results("vision") / "vision", results / "vision")
    notebook = kernel.execute(NOTEBOOK, results)
    text = printed(notebook)
    assert "architectures: model tiny-table, record" in text
    assert "make one with `python -m experiments.architectures model=smollm2-135m-gate`" in text
    assert "vision: model vision-tiny, record" in text
    assert len(pages(notebook)) == 2


def test_without_records_it_tries_the_live_part_and_names_the_commands(
    kernel: Kernel, tmp_path: Path
) -> None:
    bare = kernel.execute(NOTEBOOK, tmp_path)
    text = printed(bare)
    assert "`python -m experiments.architectures model=tiny-table`" in text
    assert "`python -m experiments.vision model=vision-tiny`" in text
    assert pages(bare) == []
