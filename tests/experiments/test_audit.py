"""The audit of a small made-up folder, as a record has it: what is counted, told apart, listed and drawn."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.audit import measure as module
from experiments.audit.groups import group_of
from experiments.audit.planted import CLEAN, PLANTED
from experiments.audit.protocol import RANKINGS
from experiments.audit.tables import (
    CasesLine,
    CauseLine,
    FindingLine,
    GroupLine,
    KindLine,
    PairLine,
    RecordLine,
    UnreadLine,
)
from experiments.figures.rooms import draw
from pkv_interp.audit import KINDS, Checked, Record, audit
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.tables import rows_of
from tests.runs import ROOT, inside

FOLDER = ROOT / "tests" / "audit" / "records"


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("audit"))
    return found


def test_the_record_is_of_the_folder_and_of_no_model(record: RunRecord) -> None:
    assert record.subject == "records"
    assert record.model == {"name": "records", "revision": None, "weight_sha256": None, "files": 8}
    assert record.config["path"] == {"name": "records", "files": 8, "sha256": record.weights}
    assert record.competence is None
    # Not where the folder lies: a record is read by others.
    assert str(ROOT) not in record.model_dump_json()


def test_headlines_count_what_the_tables_hold(record: RunRecord) -> None:
    values = {name: figure.value for name, figure in record.headline.items()}
    lines = rows_of(record, FindingLine)
    counted = [line for line in lines if not line.expected]
    assert values == {
        "records": 6,
        "findings": len(counted),
        "records_with_findings": len({line.record for line in counted}),
        "expected": len(lines) - len(counted),
        "not_judged": 3,
    }
    assert (len(counted), len(lines)) == (8, 9)
    assert all(figure.ci_low is None for figure in record.headline.values())


def test_every_finding_points_at_something_in_its_record(record: RunRecord) -> None:
    for line in rows_of(record, FindingLine):
        found: Any = json.loads((FOLDER / line.record).read_text())
        for step in line.field.strip("/").split("/"):
            found = found[int(step)] if isinstance(found, list) else found[step.replace("~1", "/")]
        assert found is not None
        assert line.why
        assert "\n" not in line.why


def test_pairs_of_one_sign_are_found_and_the_others_listed(record: RunRecord) -> None:
    lines = {line.record: line for line in rows_of(record, PairLine)}
    assert {name: line.change for name, line in lines.items()} == {
        "patch_llama_1b.json": "0 of 3",
        "patch_qwen_1b.json": "2 of 2",
        "patch_qwen_1b_int8.json": "2 of 2",
    }
    assert lines["patch_llama_1b.json"].model == "made-up/Llama-1B"
    found = [line for line in rows_of(record, FindingLine) if line.kind == "decision_never_changes"]
    assert [line.record for line in found] == ["patch_llama_1b.json"]


def test_tables_say_the_same_in_other_ways(record: RunRecord) -> None:
    findings = rows_of(record, FindingLine)
    kinds = rows_of(record, KindLine)
    assert [line.kind for line in kinds] == list(KINDS)
    assert [line.findings for line in kinds] == [1, 3, 1, 1, 1, 1]
    assert sum(line.expected for line in kinds) == 1
    assert sum(line.findings for line in rows_of(record, CauseLine)) == len(findings)
    assert sum(line.findings for line in rows_of(record, RecordLine)) == len(findings)
    for line in rows_of(record, RecordLine):
        mine = [
            one
            for one in findings
            if (one.record, one.kind, one.cause) == (line.record, line.kind, line.cause)
        ]
        assert (line.first, line.findings) == (mine[0].field, len(mine))


def test_intervals_over_cases_that_differ_are_counted_by_their_cases(record: RunRecord) -> None:
    # Over the two cases of patch_qwen_1b both have a width; over three in patch_llama_1b field_only has none,
    # and the identity does not differ.
    assert rows_of(record, CasesLine) == [
        CasesLine(cases=2, intervals=2, without_width=0),
        CasesLine(cases=3, intervals=1, without_width=1),
    ]


def test_experiments_are_told_by_names_and_expected_findings_do_not_count(record: RunRecord) -> None:
    lines = {(line.group, line.kind): line for line in rows_of(record, GroupLine)}
    assert {group for group, _ in lines} == {"patch", "facts", "latency"}
    width = lines["patch", "zero_width_interval"]
    # The identity of the same record is expected; the interval over cases that differ is not.
    assert (width.records, width.with_findings) == (3, 1)
    assert (lines["latency", "missing_n"].records, lines["latency", "missing_n"].with_findings) == (1, 1)
    assert group_of("circ_heads_Qwen3-8B.json") == "circ_heads"
    assert group_of("more/toy_model.json") == "toy_model"
    assert group_of("qwen_1b.json") == "qwen_1b"


def test_what_was_not_judged_is_listed(record: RunRecord) -> None:
    lines = {line.record: line for line in rows_of(record, UnreadLine)}
    assert {name: line.read for name, line in lines.items()} == {
        "broken.json": False,
        "notes.json": True,
        "number.json": False,
    }
    assert lines["broken.json"].cause.startswith("no JSON: ")
    assert lines["number.json"].cause.startswith("unknown shape: ")


def test_its_figures_show_its_tables(record: RunRecord) -> None:
    figure: Any = draw(record, "by_experiment")
    (cells,) = figure.data
    assert list(cells.y) == ["patch", "latency", "facts"]
    shown = dict(zip(cells.y, cells.text, strict=True))
    assert "1 of 3" in shown["patch"]
    assert shown["facts"].count("1 of 1") == 2
    bars: Any = draw(record, "pairs")
    changes, stays = bars.data
    assert list(changes.y) == ["patch_qwen_1b", "patch_qwen_1b_int8", "patch_llama_1b"]
    assert (list(changes.x), list(stays.x)) == ([2, 2, 0], [0, 0, 3])


def failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, documents: str, found: Any) -> str:
    """The line of a run in which the checks find something else in made-up records."""
    real = module.audit

    def broken(record: Record, **options: Any) -> Any:
        made_up = record.name == "planted.json" and record.document in getattr(module, documents)
        return found(real(record, **options)) if made_up else real(record, **options)

    monkeypatch.setattr(module, "audit", broken)
    with pytest.raises(PkvError) as caught:
        find("audit").run(path=str(FOLDER), results_dir=tmp_path)
    (made,) = load_records(tmp_path, status="error")
    assert made.error == str(caught.value)
    return str(caught.value)


class _Found:
    def __init__(self, findings: list[Any]) -> None:
        self.findings = findings


def test_a_kind_that_is_not_found_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    line = failed(monkeypatch, tmp_path, "PLANTED", lambda found: _Found(found.findings[1:]))
    assert "planted_findings" in line
    assert "please report it" in line
    assert "engine" not in line


def test_a_finding_where_there_is_none_ends_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    extra = audit(Record("x", PLANTED[0])).findings[:1]
    line = failed(monkeypatch, tmp_path, "CLEAN", lambda found: _Found([*found.findings, *extra]))
    assert "clean_records" in line


def test_both_controls_can_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "planted_findings" in failed(monkeypatch, tmp_path / "a", "PLANTED", lambda _: _Found([]))
    monkeypatch.undo()
    assert "clean_records" in failed(
        monkeypatch, tmp_path / "b", "CLEAN", lambda _: _Found(audit(Record("x", PLANTED[0])).findings)
    )


def test_what_is_planted_is_one_of_each_kind_and_clean_records_look_alike() -> None:
    kinds = [one.kind for document in PLANTED for one in audit(Record("p", document)).findings]
    assert sorted(kinds) == sorted(KINDS)

    def looked_at(documents: tuple[dict[str, Any], ...]) -> list[Checked]:
        return [one for document in documents for one in audit(Record("p", document)).checked]

    for planted, clean in zip(looked_at(PLANTED), looked_at(CLEAN), strict=True):
        assert planted.looked_at == clean.looked_at, planted.kind


def test_a_second_run_is_skipped_and_a_changed_file_is_another_run(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    shutil.copytree(FOLDER, folder)
    first = find("audit").run(path=str(folder), results_dir=tmp_path / "r")
    assert find("audit").run(path=str(folder), results_dir=tmp_path / "r").started_at == first.started_at
    (folder / "number.json").write_text('{"clean_flips": 0, "n_instances": 2}')
    second = find("audit").run(path=str(folder), results_dir=tmp_path / "r")
    assert second.key != first.key
    assert second.headline["records"].value == 7


def test_protocols_are_told_of_records_that_do_not_show_them() -> None:
    document = {"agg": {"topk": {"1": {"mean": 0.5}}, "n": 9}}
    (one,) = audit(Record("mechd_specificity_m.json", document), known=RANKINGS).findings
    assert (one.basis, one.field) == ("protocol", "/agg/topk")


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("path=null", "no folder of records was named; set path=DIR"),
        ("path=/no/such/folder", "the folder /no/such/folder is not there"),
        ("path=configs", "configs holds no .json file"),
        ("path=README.md", "the folder README.md is a file"),
    ],
)
def test_a_folder_that_cannot_be_read_is_one_line_at_once(
    argument: str,
    cause: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as caught:
        inside("audit", argument, f"results_dir={tmp_path}")
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {cause}")
    assert list(tmp_path.iterdir()) == []


def test_its_command_line_ends_well_and_tells_its_figures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    inside("audit", f"path={FOLDER}", f"results_dir={tmp_path}")
    assert "records                6.000" in capfd.readouterr().err
