"""What is read of a folder, and what is listed as unread: nothing is passed over in silence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pkv_interp.audit import Record, Unread, read_folder
from pkv_interp.audit import document as module
from pkv_interp.errors import PkvError

GOOD = '{"model": "m", "n": 3}'


def test_records_are_named_by_their_place_and_sorted(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(GOOD)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.json").write_text('[{"x": 1}]')
    (tmp_path / "readme.md").write_text("no record")
    records, unread = read_folder(tmp_path)
    assert [record.name for record in records] == ["b.json", "inner/a.json"]
    assert records[1].document == [{"x": 1}]
    assert unread == []


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b'{"a": 1', "no JSON: Expecting ',' delimiter, line 1 column 8"),
        (b"", "no JSON: Expecting value, line 1 column 1"),
        (b"\xff\xfe\x00", "no JSON: "),
        (b"[" * 100_000, "no JSON: "),
        (b"3", "unknown shape: a single int"),
        (b"null", "unknown shape: a single null"),
        (b"[1, 2]", "unknown shape: a list with something else"),
        (b"[]", "unknown shape: an empty list"),
        (b"{}", "unknown shape: an empty mapping"),
        (b'[{"a": 1}, 2]', "unknown shape: a list with something else"),
    ],
)
def test_a_file_that_is_no_record_is_listed_with_its_cause(
    content: bytes, cause: str, tmp_path: Path
) -> None:
    (tmp_path / "good.json").write_text(GOOD)
    (tmp_path / "odd.json").write_bytes(content)
    records, unread = read_folder(tmp_path)
    assert [record.name for record in records] == ["good.json"]
    (one,) = unread
    assert one.name == "odd.json"
    assert one.cause.startswith(cause)
    assert "\n" not in one.cause


def test_a_file_that_is_too_large_or_gone_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "good.json").write_text(GOOD)
    os.symlink(tmp_path / "nowhere", tmp_path / "gone.json")
    (tmp_path / "large.json").write_text(GOOD + " " * 100)
    monkeypatch.setattr(module, "LARGEST", 50)
    records, unread = read_folder(tmp_path)
    assert [record.name for record in records] == ["good.json"]
    assert [one.name for one in unread] == ["gone.json", "large.json"]
    assert unread[0].cause.startswith("cannot be opened: ")


@pytest.mark.parametrize("content", [b'{"a": NaN, "b": Infinity}', b'\xef\xbb\xbf{"a": null, "b": null}'])
def test_numbers_that_are_not_finite_are_absent_and_a_byte_order_mark_is_no_harm(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    ((record,), _) = read_folder(tmp_path)
    assert record.document == {"a": None, "b": None}


def test_a_folder_without_records_is_one_line(tmp_path: Path) -> None:
    def line(place: Path) -> str:
        with pytest.raises(PkvError) as caught:
            read_folder(place)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert line(tmp_path / "gone") == (
        f"the folder {tmp_path}/gone is not there; give the folder that holds the records"
    )
    assert "holds no .json file" in line(tmp_path)
    (tmp_path / "one.json").write_text("3")
    assert "is a file" in line(tmp_path / "one.json")
    assert "none of 1 .json files" in line(tmp_path)
    assert "one.json: unknown shape" in line(tmp_path)


def test_the_model_is_told_where_the_record_names_it() -> None:
    assert Record("r", {"model": "a"}).model == "a"
    assert Record("r", {"summary": {"model": "b"}}).model == "b"
    assert Record("r", {"agg": {"model": "c"}}).model == "c"
    assert Record("r", [{"model": "d"}, {"model": "e"}]).model == "d"
    assert Record("r", {"agg": [{"model": "c"}], "model": 3}).model is None


def test_unread_is_no_record() -> None:
    assert not isinstance(Unread("a", "b"), Record)
