"""The serving notebook runs from top to bottom on whatever records there are, without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.notebooks.executing import Kernel, pages, printed
from tests.runs import ROOT

NOTEBOOK = ROOT / "notebooks" / "serving.ipynb"


def test_it_shows_the_record_of_the_engine_that_was_run(
    kernel: Kernel, small_results: Callable[[str], Path], tmp_path: Path
) -> None:
    results = Path(shutil.copytree(small_results("serving"), tmp_path / "results"))
    (path,) = (results / "serving").glob("*.json")
    path.write_text(path.read_text().replace('"name": "tiny-llama"', '"name": "smollm2-135m-gate"'))
    notebook = kernel.execute(NOTEBOOK, results)
    text = printed(notebook)
    assert "serving: model smollm2-135m-gate@llama, record" in text
    assert "make one with `python -m experiments.serving model=smollm2-135m-gate engine=vllm`" in text
    assert len(pages(notebook)) == 3


def test_without_records_it_names_the_commands(kernel: Kernel, tmp_path: Path) -> None:
    bare = kernel.execute(NOTEBOOK, tmp_path)
    text = printed(bare)
    for engine in ("llama", "vllm"):
        assert f"`python -m experiments.serving model=smollm2-135m-gate engine={engine}`" in text
    assert "make one with `python -m experiments.tau2`" in text
    assert "There is no figure to compare." in text
    assert pages(bare) == []
