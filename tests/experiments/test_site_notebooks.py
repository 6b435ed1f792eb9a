"""Notebooks of the site: one that fails is told in a line."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from experiments.site.notebooks import run
from pkv_interp.errors import PkvError


@pytest.mark.parametrize(
    ("source", "seconds", "cause"),
    [("raise ValueError('no such record')", 60, "fails: ValueError: no such record"),
     ("import time\ntime.sleep(60)", 1, "takes more than 1 s")],
    ids=["an error", "too long"],
)  # fmt: skip
def test_a_notebook_that_fails_is_told_in_one_line(
    source: str, seconds: int, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.site.notebooks._SECONDS", seconds)
    path = tmp_path / "one.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]), path)
    with pytest.raises(PkvError, match=re.escape(cause)) as told:
        run(path, tmp_path, tmp_path)
    assert "\n" not in str(told.value)
