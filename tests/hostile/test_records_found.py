"""Records by status, experiment and place: what is misspelt is refused, and what is there is found."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records import check, load, load_records, read
from tests.records.examples import finished, spoil


@pytest.mark.parametrize("status", ["success", ["success"], {"success"}, ("success", "error")])
def test_one_status_or_several(tmp_path: Path, status: Any) -> None:
    """A text would be a set of letters, of which no record has one."""
    finished(tmp_path)
    assert len(load(tmp_path, status=status)) == 6


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        ({"status": "sucess"}, "there is no status 'sucess'; did you mean 'success'"),
        ({"status": ["success", 1]}, "there is no status 1"),
        ({"experiment": "prob"}, "there is no record of 'prob'; did you mean 'probe'"),
        ({"experiment": ["probe"]}, "is no experiment's name"),
    ],
)
def test_what_is_misspelt_is_no_empty_table(tmp_path: Path, asked: dict[str, Any], cause: str) -> None:
    finished(tmp_path)
    with pytest.raises(PkvError) as caught:
        load(tmp_path, **asked)
    assert cause in str(caught.value)


def test_links_are_followed_and_a_loop_ends(tmp_path: Path) -> None:
    finished(tmp_path / "real", seed=0)
    place = tmp_path / "results"
    finished(place, seed=1)
    (place / "more").symlink_to(tmp_path / "real")
    (place / "again").symlink_to(place)
    assert {record.seed for record in load_records(place)} == {0, 1}
    assert check(place) == (2, [])


def test_a_copy_is_called_a_copy(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    finished(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    with caplog.at_level(logging.WARNING):
        assert len(load_records(tmp_path)) == 1
    assert "copies of others" in caplog.text
    assert "newer code" not in caplog.text
    assert len(load_records(tmp_path, latest=False)) == 2


def test_a_tilde_is_a_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = finished(tmp_path / "r")
    assert len(load("~/r")) == 6
    assert read(f"~/{path.relative_to(tmp_path)}").path == path
    assert check("~/r") == (1, [])


@pytest.mark.parametrize(
    ("text", "cause"),
    [("[" * 100_000, "too deep"), ('{"seed": ' + "9" * 5000 + "}", "thousands of digits")],
)
def test_text_that_python_cannot_hold_is_one_line(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "probe" / "x.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(PkvError, match=cause):
        read(path)
    (problem,) = check(tmp_path)[1]
    assert cause in problem.cause


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = finished(tmp_path)
    before = read(path)
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert read(path) == before


def test_an_old_record_with_no_environment_is_one_line(tmp_path: Path) -> None:
    path = finished(tmp_path)
    spoil(path, "/schema_version", 1)
    spoil(path, "/environment", None)
    with pytest.raises(PkvError, match="is not a valid record"):
        read(path)
