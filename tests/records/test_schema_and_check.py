import json
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records import check, read
from pkv_interp.records.__main__ import main
from pkv_interp.records.archive import archive_path
from pkv_interp.records.check import stale_records
from pkv_interp.records.load import parse
from tests.records.examples import finished, spoil


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return finished(tmp_path / "results")


def test_a_finished_run_is_valid(record: Path) -> None:
    assert check(record.parents[1]) == (1, [])
    assert check(record) == (1, [])


def test_record_holds_what_a_reader_needs(record: Path) -> None:
    found = read(record)
    assert (found.status, found.error, found.seed, found.schema_version) == ("success", None, 0, 2)
    assert found.model["weight_sha256"] == "ab" * 32
    assert found.model_name == "tiny-llama"
    assert found.environment.device == "cpu"
    assert found.environment.attention == "sdpa"
    assert set(found.environment.packages) >= {
        "torch",
        "transformers",
        "nnsight",
        "transformer_lens",
        "numpy",
    }
    assert found.keys is not None
    assert found.key == found.keys.measurement
    assert found.measurements is not None
    assert found.measurements.bytes == archive_path(record).stat().st_size
    assert found.headline["notes_only"].what == "KV after the trigger"
    assert found.config["model"] == {
        "name": "tiny-llama",
        "source": "tiny",
        "dtype": "float32",
        "device": "cpu",
    }
    assert found.seconds is not None
    assert found.seconds >= 0.0
    assert found.started_at.utcoffset() is not None
    assert [row.extra for row in found.rows][0] == {
        "layer": 3,
        "kept": True,
        "share": 0.5,
        "label": "x",
        "none": None,
    }


FAULTS: list[tuple[str, Any, str, str]] = [
    ("/rows/3/patched", float("nan"), "/rows/3/patched", "finite"),
    ("/rows/3/patched", "much", "/rows/3/patched", "valid number"),
    ("/rows/2/arm", "", "/rows/2/arm", "at least 1"),
    ("/rows/2/colour", "red", "/rows/2/colour", "not permitted"),
    ("/rows/2/extra/share", float("inf"), "/rows/2/extra/share", "finite"),
    ("/rows/1/arm", "trigger_only", "/rows/1", "second row for the same instance and arm"),
    ("/tables/top_heads/0/effect", float("nan"), "/tables/top_heads/0/effect", "not finite"),
    ("/config/top_k/1", float("inf"), "/config/top_k/1", "not finite"),
    ("/headline/notes_only/ci_low", 2.0, "/headline/notes_only", "above"),
    ("/headline/notes_only/ci_low", None, "/headline/notes_only", "both"),
    ("/headline/notes_only/n_families", 9, "/headline/notes_only", "cannot come from"),
    ("/controls/0/value", 0.5, "/controls/0", "not within"),
    ("/competence/accuracy/value", 0.2, "/competence", "below 0.9"),
    ("/status", "finished", "/status", "started"),
    ("/status", "error", "/error", "without an error text"),
    ("/error", "odd", "/error", "success with an error text"),
    ("/seconds", None, "/seconds", "success without"),
    ("/key", "abc", "/key", "pattern"),
    ("/schema_version", 7, "/schema_version", "7, but this program reads up to 2: upgrade it"),
    ("/experiment", "other", "/experiment", "the folder is 'probe'"),
    ("/arrays", "gone.safetensors", "/arrays", "there is no file"),
    ("/model", {}, "/model", "no name"),
    ("/model", {"name": "x", "revision": None}, "/model/weight_sha256", "success without"),
    ("/surprise", 1, "/surprise", "not permitted"),
]


@pytest.mark.parametrize(("pointer", "value", "place", "cause"), FAULTS)
def test_every_fault_is_named(record: Path, pointer: str, value: Any, place: str, cause: str) -> None:
    spoil(record, pointer, value)
    _, problems = check(record.parents[1])
    assert [problem.place for problem in problems] == [place]
    assert cause in problems[0].cause
    assert problems[0].file == record
    assert "\n" not in str(problems[0])


def test_a_failed_control_cannot_be_a_success(record: Path) -> None:
    spoil(record, "/controls/0/value", 0.5)
    spoil(record, "/controls/0/passed", False)
    _, problems = check(record.parents[1])
    assert [str(p) for p in problems] == [f"{record}: /status: success although control 'self_patch' failed"]


def test_more_families_than_rows_name(record: Path) -> None:
    spoil(record, "/headline/notes_only/n_families", 4)
    spoil(record, "/headline/notes_only/n_instances", 40)
    _, problems = check(record.parents[1])
    assert {p.place: p.cause for p in problems} == {
        "/headline/notes_only/n_families": "4, but rows name 3",
        "/headline/notes_only/n_instances": "40, but there are 6 rows",
    }


@pytest.mark.parametrize("field", ["seed", "environment", "started_at"])
def test_missing_fields_are_named(record: Path, field: str) -> None:
    document = json.loads(record.read_text())
    del document[field]
    record.write_text(json.dumps(document))
    _, problems = check(record.parents[1])
    assert [(p.place, p.cause) for p in problems] == [(f"/{field}", "Field required")]


def test_truncated_file_is_named_by_line_and_column(record: Path) -> None:
    text = record.read_text()
    record.write_text(text[: text.index('"controls"') + 5])
    _, problems = check(record.parents[1])
    assert len(problems) == 1
    assert problems[0].place.startswith("line ")
    assert "column" in problems[0].place
    assert "not JSON" in problems[0].cause
    record.write_bytes(b"")
    assert check(record.parents[1])[1][0].place == "line 1 column 1"
    record.write_bytes(b'{"a": "\xff"}')
    assert check(record.parents[1])[1][0].cause == "not UTF-8 text"
    record.write_text("[1, 2]")
    assert check(record.parents[1])[1][0].place == "/"


@pytest.mark.parametrize(
    ("pointer", "value"),
    [("/config/n_instances", 5), ("/seed", 1), ("/keys/measuring_code", "0" * 64), ("/config/new", 1)],
)
def test_edited_identity_does_not_match_its_key(record: Path, pointer: str, value: Any) -> None:
    spoil(record, pointer, value)
    _, problems = check(record.parents[1])
    assert [problem.place for problem in problems] == ["/key"]
    assert "was edited" in problems[0].cause


def test_requested_model_must_be_there(record: Path) -> None:
    spoil(record, "/config/model", "tiny-llama")
    assert [p.place for p in check(record.parents[1])[1]] == ["/config/model"]


def test_places_on_this_machine_are_not_recorded(record: Path) -> None:
    assert "results_dir" not in read(record).config
    assert str(record.parents[2]) not in record.read_text()


def test_renamed_record_and_damaged_arrays(record: Path) -> None:
    record.with_suffix(".safetensors").write_bytes(b"\x10")
    assert [p.place for p in check(record.parents[1])[1]] == ["/arrays"]
    record.rename(record.with_name("other-000000000000.json"))
    assert "/key" in [p.place for p in check(record.parents[1])[1]]


def test_command_line(
    record: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    results = str(record.parents[1])
    assert main(["check", results]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == "1 records, 0 problems, 1 stale"
    assert told[0].startswith(
        f"{record}: stale: the measurement key has moved: code that measuring can reach"
    )
    spoil(record, "/rows/3/patched", "[bold]much[/bold]")
    spoil(record, "/rows/0/clean", None)
    spoil(record, "/rows/1/corrupt", "x")
    assert main(["check", results]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == ["/rows/1/corrupt", "/rows/3/patched"]
    assert lines[-1] == "1 records, 2 problems, 0 stale"
    assert main(["check", results + "/absent"]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert "there is no folder" in errors[0]


def test_reading_a_bad_record_names_file_and_mend(record: Path) -> None:
    spoil(record, "/rows/3/patched", "much")
    with pytest.raises(PkvError, match=r"probe/tiny-llama-.*/rows/3/patched.*git checkout"):
        read(record)


def test_a_record_of_schema_1_is_read_and_counts_as_stale(record: Path) -> None:
    document = json.loads(record.read_text())
    for name in ("keys", "weights", "summary_only", "measurements"):
        del document[name]
    for figure in document["headline"].values():
        for name in ("what", "needs_gate", "low", "high"):
            del figure[name]
    document["environment"]["code_version"] = "0" * 64
    record.write_text(json.dumps(document | {"schema_version": 1}))
    found = parse(record)
    assert not isinstance(found, list)
    assert found.headline["notes_only"].value == 0.99
    assert found.keys is None
    ((_, reason),) = stale_records(record)
    assert "schema 1" in str(reason)


def test_advice_on_an_old_and_on_a_new_schema(record: Path) -> None:
    spoil(record, "/schema_version", 0)
    assert "run the experiment again" in check(record)[1][0].cause
    spoil(record, "/schema_version", 3)
    assert "upgrade" in check(record)[1][0].cause
