"""What every experiment promises. One is tested here by being a room with an entry in `runs.ARGUMENTS`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import experiments
from experiments.figures.rooms import draw, drawn_by
from pkv_interp.records import RunRecord, check, load_records
from pkv_interp.records.archive import archive_path, read
from pkv_interp.records.tables import TableRow
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.settings import checked
from tests import runs

#: They train and write weights: an adapter, a model. Their own tests run them, in folders of their own.
TRAINS = ("train_gate", "train_vision")
NAMES = tuple(name for name in experiments.names() if name not in TRAINS)
FILES = ("__init__.py", "__main__.py", "settings.py", "measure.py", "summary.py", "tables.py")


def test_every_experiment_has_a_small_run() -> None:
    assert set(runs.ARGUMENTS) == set(NAMES)


@pytest.fixture(scope="module", params=NAMES)
def made(request: pytest.FixtureRequest, small_results: Callable[[str], Path]) -> tuple[Any, RunRecord]:
    """Each experiment and the record of its small run."""
    (record,) = load_records(small_results(request.param))
    return experiments.find(request.param), record


@pytest.mark.parametrize("name", experiments.names())
def test_its_room_has_the_files_that_a_reader_looks_for(name: str) -> None:
    room = Path(experiments.__file__).parent / name
    assert [file for file in FILES if not (room / file).is_file()] == []


def test_its_record_is_valid_and_whole(made: tuple[Any, RunRecord]) -> None:
    experiment, record = made
    assert record.path is not None
    assert check(record.path) == (1, [])
    assert record.keys == experiment.keys(checked(experiment.settings, record.config))
    assert record.measurements is not None
    assert archive_path(record.path).stat().st_size == record.measurements.bytes
    assert len(record.controls) >= 1


def test_it_is_summarised_again_without_a_model(
    made: tuple[Any, RunRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, record = made
    # The session first: it may be imported by this line, and has to find the loader as it is.
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    monkeypatch.setattr("pkv_interp.models.load.load", lambda _: pytest.fail("a model was loaded"))
    assert record.path is not None
    place = tmp_path / "results" / experiment.name
    shutil.copytree(record.path.parent, place)
    again = experiment.summarise_again(place / record.path.name)
    assert again.model_dump() == record.model_dump()


def test_its_summary_is_the_same_every_time_and_says_what_each_figure_is(
    made: tuple[Any, RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment, record = made
    assert record.path is not None
    # As if the weights were trained, so that nothing is held back.
    monkeypatch.setattr(Scoring, "random_weights", property(lambda _: False))
    settings = checked(experiment.settings, record.config)
    late = {"competence_threshold": 0.0} if "competence_threshold" in experiment.settings.model_fields else {}
    reports = []
    for _ in range(2):
        found = read(archive_path(record.path), experiment.measured)
        scoring = Scoring(settings.model_copy(update=late), found.head)
        reports.append(experiment.summarise(found.measured, scoring))
    first, second = reports
    assert first.stated() == second.stated()
    assert first.tables == second.tables
    assert list(first.rows) == list(second.rows)
    assert len(first.stated()) >= 2
    for headline in first.headlines:
        assert 3 <= len(headline.what) <= 90, headline.name
    for row in first.tables:
        assert isinstance(row, TableRow)
        assert row.table


def test_its_figures_are_drawn(made: tuple[Any, RunRecord]) -> None:
    experiment, record = made
    for name in drawn_by(experiment.name):
        figure: Any = draw(record, name)  # plotly types what a figure holds as unions of everything
        assert len(figure.data) >= 1
