"""The report over models: every record once under a name of its own, the gate marked, nothing cut off."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.sweep import __main__ as command_line
from experiments.sweep import report as reporting
from experiments.sweep.compared import compared
from experiments.sweep.draw import over_models
from experiments.sweep.report import _parts, report
from experiments.sweep.settings import SweepSettings
from pkv_interp.errors import PkvError
from pkv_interp.plots.theme import BLUE, VERMILLION
from pkv_interp.records import Competence, load_records, read
from pkv_interp.run.settings import checked
from pkv_interp.stats import mean
from tests.records.examples import filled, finished, measure, open_run

FAILED = Competence(accuracy=mean([0.0, 1.0], ["a", "b"]), threshold=0.9, passed=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Four successes of three models, one of which failed the gate, and an error."""
    place = tmp_path / "results"
    finished(place, model={"name": "able"})
    finished(place, model={"name": "able"}, config={"n_instances": 8})
    finished(place, model={"name": "other"})
    with open_run(place, model={"name": "unable"}) as run:
        measure(run)
        run.succeed(filled() | {"headline": {}, "competence": FAILED}, {})
    with pytest.raises(PkvError), open_run(place, model={"name": "broken"}):
        raise PkvError("no such weights", "fetch them")
    return place


def told(results: Path, capsys: pytest.CaptureFixture[str], **settings: Any) -> tuple[str, str]:
    given = {"results_dir": results, "output_dir": results / "figures", "png": False} | settings
    report(checked(SweepSettings, given))
    found = capsys.readouterr()
    return found.out, found.err


def cells(out: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in out.splitlines()
        if "|" in line
    ]


def test_the_table_is_over_models_with_intervals_and_gate(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, aside = told(results, capsys, experiment="probe")
    header, _, gate, notes = cells(out)
    assert header == ["probe", "able n_instances=4", "able n_instances=8", "other", "unable"]
    assert gate == ["competence gate", "passed", "passed", "passed", "FAILED"]
    assert notes == ["notes_only", *["0.990 [0.900, 1.100]"] * 3, "-"]
    assert "FAILED: the model failed the competence gate" in out
    assert "probe on broken: error: no such weights; fetch them" in aside
    assert (results / "figures" / "probe" / "over_models.html").is_file()


def test_models_are_chosen_and_those_without_a_record_are_refused(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = told(results, capsys, models="other,unable")
    assert cells(out)[0] == ["probe", "other", "unable"]
    for settings, cause in (
        ({"models": ["othr"]}, "no finished record on othr; did you mean 'other'"),
        (
            {"headlines": ["notes_olny"]},
            "no record states a headline 'notes_olny'; did you mean 'notes_only'",
        ),
        ({"experiment": "circuit"}, "has no finished record of circuit; sweep an experiment"),
    ):
        with pytest.raises(PkvError, match=cause):
            told(results, capsys, **settings)


def test_of_records_that_asked_the_same_the_newest_is_told(results: Path) -> None:
    records = load_records(results, latest=False)
    old = next(record for record in records if record.subject == "other")
    newer = old.model_copy(update={"started_at": old.started_at.replace(year=2100)})
    found = {one.label: one.record for one in compared([newer, *records])}
    assert list(found) == ["able n_instances=4", "able n_instances=8", "other", "unable"]
    assert found["other"] is newer


def test_settings_inside_the_model_tell_records_apart(results: Path) -> None:
    one = next(record for record in load_records(results) if record.subject == "other")
    given: dict[str, Any] = {"name": "other", "source": "hub"}
    two = [
        one.model_copy(update={"config": {**one.config, "model": {**given, "dtype": dtype}}})
        for dtype in ("float32", "bfloat16")
    ]
    assert [each.label for each in compared(two)] == [
        "other model.dtype='float32'",
        "other model.dtype='bfloat16'",
    ]


def test_a_narrow_terminal_gets_several_tables(results: Path) -> None:
    columns = compared(load_records(results))
    assert _parts(columns, None, None) == [columns]
    parts = _parts(columns, None, 70)
    assert len(parts) > 1
    assert [one for part in parts for one in part] == columns
    assert len(_parts(columns, None, 5)) == len(columns)  # one at least in each


def test_the_figure_has_each_model_with_its_interval(results: Path) -> None:
    records = load_records(results)
    unable = next(record for record in records if record.subject == "unable")
    given = next(record for record in records if record.subject == "other").headline
    stated = unable.model_copy(update={"headline": given})  # a figure that needs no gate
    columns = compared([*(record for record in records if record is not unable), stated])
    figure: Any = over_models("probe", columns, ["notes_only"])
    able, failed = figure.data
    assert list(able.y) == ["able n_instances=4", "able n_instances=8", "other"]
    assert (list(failed.y), failed.marker.symbol, failed.marker.color) == (
        ["unable"],
        "circle-open",
        VERMILLION,
    )
    assert able.marker.color == BLUE
    assert list(able.error_x.array) == pytest.approx([0.11] * 3)
    assert list(able.error_x.arrayminus) == pytest.approx([0.09] * 3)
    assert "over 4 models" in figure.layout.title.text


def test_the_committed_records_can_be_told() -> None:
    records = [read(path) for path in (Path(__file__).parents[2] / "results" / "circuit").glob("*.json")]
    columns = compared(records)
    assert [one.label for one in columns] == sorted({record.subject for record in records})
    figure: Any = over_models("circuit", columns, None)
    assert len(figure.data) > 0


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ([], "it is not said what to do"),
        (["experiment=circuit"], "it is not said what to do"),
        (["draw"], "experiments.sweep has no word 'draw'"),
        (["report", "experimnt=circuit"], "did you mean 'experiment'"),
    ],
)
def test_a_command_line_that_says_something_else_is_one_line(
    arguments: list[str], cause: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["experiments.sweep", *arguments])
    monkeypatch.setattr(reporting, "report", lambda _: pytest.fail("it ran"))
    with pytest.raises(SystemExit) as caught:
        command_line.main()
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert cause in line


def test_the_command_prints_to_a_pipe_without_cutting_anything_off(
    circuit_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(circuit_results, tmp_path / "results")
    line = ["report", "experiment=circuit", f'results_dir="{tmp_path}/results"', "png=false"]
    monkeypatch.setattr(sys, "argv", ["experiments.sweep", *line])
    command_line.main()
    out = capsys.readouterr().out
    assert "…" not in out
    assert cells(out)[2] == ["competence gate", "FAILED"]
