"""Files that share what takes seconds to make are one piece of work for xdist."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import TOGETHER, pytest_xdist_make_scheduler
from tests.documents import ROOT

#: By what is shared: the fixtures that make it.
FIXTURES = {
    "notebooks": r"kernel: Kernel",
    "real model": r"real_model: |\"(?:examples_load_once|session_loads_once)\"|load_once: ",
}


def test_every_file_that_uses_what_is_shared_is_among_them() -> None:
    assert set(FIXTURES) == set(TOGETHER)
    others = (path for path in ROOT.glob("tests/**/test_*.py") if path.name != Path(__file__).name)
    files = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in others}
    for name, fixtures in FIXTURES.items():
        used = [file for file, text in files.items() if re.search(fixtures, text)]
        assert used
        assert [file for file in used if not file.startswith(TOGETHER[name])] == []
        for place in TOGETHER[name]:
            assert (ROOT / place).exists(), place


def test_they_are_one_piece_and_others_are_files_by_themselves() -> None:
    pytest.importorskip("xdist")

    def scheduler(dist: str) -> Any:
        config: Any = SimpleNamespace(getoption=lambda _: dist, getvalue=lambda _: ["popen"])
        return pytest_xdist_make_scheduler(config, None)

    scopes = [
        scheduler("loadfile")._split_scope(f"{file}::test_it[a::b]")
        for file in ("tests/test_readme.py", "tests/notebooks/test_origin_notebook.py", "tests/test_make.py")
    ]
    assert scopes == ["real model", "notebooks", "tests/test_make.py"]
    assert scheduler("load") is None
