"""The way of one run, on a toy experiment and a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records import ControlFailure, read
from pkv_interp.records.archive import archive_path
from tests.run.toy import CALLS, EXPERIMENT, ToySettings


def settings(results: Path, **changes: object) -> ToySettings:
    return ToySettings.model_validate({"model": "tiny-llama", "results_dir": results} | changes)


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def record_of(results: Path) -> Path:
    (path,) = (results / "toy").glob("*.json")
    return path


def test_a_run_leaves_a_record_and_its_measurements(tmp_path: Path) -> None:
    record = EXPERIMENT.run(settings(tmp_path))
    assert len(CALLS) == 4
    assert record.tables["totals"] == [{"stage": "numbers", "total": record.headline["length"].value * 4}]
    assert [c.name for c in record.controls][-1] == "sum"
    assert len(record.controls) >= 5
    assert record.noise_floor["margin"] >= 1e-3
    assert record.path is not None
    assert archive_path(record.path).is_file()
    assert not (tmp_path / ".partial").exists()


def test_the_same_again_is_skipped_and_new_draws_only_summarise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = EXPERIMENT.run(settings(tmp_path))
    CALLS.clear()
    capsys.readouterr()
    assert EXPERIMENT.run(settings(tmp_path)) == first
    assert "finished before" in capsys.readouterr().err
    again = EXPERIMENT.run(settings(tmp_path, bootstrap_draws=200))
    assert CALLS == []
    assert again.key == first.key
    assert again.rows == first.rows
    assert "finished before" not in capsys.readouterr().err


def test_a_failed_summary_costs_no_measurement(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        EXPERIMENT.run(settings(tmp_path, wrong_summary="raises"))
    assert read(record_of(tmp_path)).error == "ZeroDivisionError: in the summary"
    with pytest.raises(ControlFailure, match="'sum' measured 1"):
        EXPERIMENT.run(settings(tmp_path, wrong_summary="control"))
    assert len(CALLS) == 4
    assert EXPERIMENT.run(settings(tmp_path)).status == "success"
    assert len(CALLS) == 4


def test_summarised_again_without_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EXPERIMENT.run(settings(tmp_path))

    def refuse(_: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("pkv_interp.run.session.load", refuse)
    CALLS.clear()
    path = record_of(tmp_path)
    assert EXPERIMENT.summarise_again(path).model_dump() == first.model_dump()
    assert CALLS == []
    document = json.loads(path.read_text())
    document["headline"]["length"]["value"] = 0.5
    document["headline"]["length"]["ci_low"] = 0.1
    path.write_text(json.dumps(document))
    assert EXPERIMENT.summarise_again(path).headline == first.headline


def test_measurements_that_were_edited_are_refused(tmp_path: Path) -> None:
    EXPERIMENT.run(settings(tmp_path))
    path = record_of(tmp_path)
    content = bytearray(archive_path(path).read_bytes())
    content[len(content) // 2] ^= 1
    archive_path(path).write_bytes(bytes(content))
    with pytest.raises(PkvError, match="is not what its record was computed from"):
        EXPERIMENT.summarise_again(path)
    archive_path(path).unlink()
    with pytest.raises(PkvError, match="not beside it; run experiments.toy again"):
        EXPERIMENT.summarise_again(path)


def test_a_number_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="numbers/.* holds a number that is not finite"):
        EXPERIMENT.run(settings(tmp_path, wrong_part=True))


def test_reading_a_summary_setting_while_measuring_raises(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="bootstrap_draws"):
        _ = settings(tmp_path).measuring().bootstrap_draws


def test_changes_can_be_given_by_name(tmp_path: Path) -> None:
    record = EXPERIMENT.run(model="tiny-llama", results_dir=tmp_path, instances=1)
    assert len(record.rows) == 2
    with pytest.raises(PkvError, match="config key 'instance'"):
        EXPERIMENT.run(model="tiny-llama", results_dir=tmp_path, instance=1)
