"""Records without a model: the folder among the settings, and the sitting that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments import find
from experiments.audit.settings import AuditSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.reading_settings import ReadingSettings
from pkv_interp.run.record_folder import RecordFolder
from pkv_interp.run.settings import checked


def folder(place: Path, **files: str) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (place / f"{name}.json").write_text(content)
    return place


def test_a_folder_is_known_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    here = RecordFolder.at(folder(tmp_path / "a" / "theirs", x="{}", y="[]")).opened()
    there = RecordFolder.at(folder(tmp_path / "b" / "theirs", x="{}", y="[]")).opened()
    assert here.model_dump() == there.model_dump()
    assert (here.name, here.files) == ("theirs", 2)
    (tmp_path / "b" / "theirs" / "y.json").write_text("[1]")
    assert there.path.joinpath("y.json").read_text() == "[1]"
    assert RecordFolder.at(there.path).opened().sha256 != here.sha256
    # The name of a file is part of what is read.
    (tmp_path / "a" / "theirs" / "y.json").rename(tmp_path / "a" / "theirs" / "z.json")
    assert RecordFolder.at(here.path).opened().sha256 != here.sha256


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    settings = checked(ReadingSettings, {"path": str(tmp_path / "gone")})
    assert settings.folder.name == "gone"
    with pytest.raises(PkvError, match="is not there"):
        settings.folder.opened()
    with pytest.raises(PkvError, match="no folder of records was named; set path=DIR"):
        _ = checked(ReadingSettings, {}).folder


def test_a_record_names_its_folder_again(tmp_path: Path) -> None:
    place = folder(tmp_path / "theirs", x='{"n": 3, "acc": 0.5}')
    experiment = find("audit")
    record = experiment.run(path=str(place), results_dir=tmp_path / "r")
    again = checked(AuditSettings, record.config)
    assert again.folder.opened() == again.folder  # with no folder at hand
    assert experiment.keys(again) == record.keys
    with pytest.raises(PkvError, match="only name and hash of 'theirs' are known"):
        _ = again.folder.path


@pytest.mark.parametrize("value", ["", " ", 3, True, [], ["a"], {"name": "x", "path": "y"}, {"sha256": "z"}])
def test_what_is_no_folder_is_one_line(value: object) -> None:
    with pytest.raises(PkvError) as caught:
        checked(ReadingSettings, {"path": value})
    assert "config key 'path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = folder(tmp_path / "theirs", x='{"n": 3, "acc": 0.5}')
    from experiments.audit import measure

    real = measure.read_folder

    def changing(path: Path) -> object:
        found = real(path)
        (place / "x.json").write_text('{"n": 4, "acc": 0.5}')
        return found

    monkeypatch.setattr(measure, "read_folder", changing)
    with pytest.raises(PkvError, match="the files of theirs changed while they were read; run it again"):
        find("audit").run(path=str(place), results_dir=tmp_path / "r")


def test_the_root_has_a_name_too() -> None:
    assert RecordFolder.at("/").name == "records"
    assert RecordFolder.at(".").name == Path.cwd().name
