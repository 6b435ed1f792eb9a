"""The picture model's training as an experiment: a short one, stopped and repeated, and its summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.train_vision.experiment import EXPERIMENT
from experiments.train_vision.figures import FIGURES
from experiments.train_vision.judging import Answered
from experiments.train_vision.measure import Measured
from experiments.train_vision.settings import TrainVisionSettings
from experiments.train_vision.summary import constant, summarise
from pkv_interp.errors import PkvError
from pkv_interp.measure.picture_answers import PictureAnswer
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load_vision import load_trained
from pkv_interp.records import RunRecord, read
from pkv_interp.records.archive import archive_path
from pkv_interp.records.archive import read as read_archive
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage
from tests.experiments.configs import compose
from tests.experiments.failing import failed


def settings(place: Path, **changes: Any) -> TrainVisionSettings:
    given: dict[str, Any] = {
        "results_dir": place / "results",
        "work_dir": place / "work",
        "model_dir": place / "model",
        "tower_steps": 2,
        "simple_steps": 1,
        "steps": 2,
        "again_steps": (1,),
        "tower_batch": 3,
        "batch": 2,
        "pictures": 2,
        "prefaces": (4,),
        "field_pictures": 1,
        "bootstrap_draws": 100,
    }
    return TrainVisionSettings.model_validate(given | changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train_vision")


@pytest.fixture(scope="module")
def record(place: Path) -> RunRecord:
    return EXPERIMENT.run(settings(place))


def changed(record: RunRecord, change: Any) -> Report:
    """The summary once every answer is changed."""
    assert record.path is not None
    found = read_archive(archive_path(record.path), Measured)
    answers = {key: change(one) for key, one in found.measured.answers.results.items()}
    asked = TrainVisionSettings.model_validate(record.config)
    return summarise(Measured(Stage(answers), found.measured.history), Scoring(asked, found.head))


def test_the_record_is_of_the_trained_model(record: RunRecord, place: Path) -> None:
    assert record.status == "success"
    assert not record.model["random_weights"]
    loaded = load_trained(load_catalogue_entry("vision-untrained"), place / "model")
    assert loaded.info.weight_sha256 == record.model["weight_sha256"]
    assert {control.name for control in record.controls} == {
        "splits_share_no_thing",
        "splits_share_no_picture",
        "runner_equals_own_forward",
        "grey_picture_tells_nothing",
        "other_picture_tells_nothing",
    }
    assert {str(line["condition"]) for line in record.tables["accuracy"]} == {
        *("one", "two", "preface-4", "field-before", "field-after")
    }
    (line,) = record.tables["history"]
    assert line["step"] == 5


def test_a_finished_model_is_judged_as_it_is(record: RunRecord, place: Path, tmp_path: Path) -> None:
    judged = EXPERIMENT.run(settings(place, train=False, results_dir=tmp_path))
    assert judged.tables["accuracy"] == record.tables["accuracy"]
    assert "history" not in judged.tables
    with pytest.raises(PkvError, match="holds no model"):
        EXPERIMENT.run(settings(place, train=False, results_dir=tmp_path, model_dir=tmp_path / "none"))


def test_only_the_untrained_shape_is_trained(place: Path) -> None:
    with pytest.raises(ValueError, match="not the untrained picture model"):
        settings(place, model="tiny-llama")


def test_another_schedule_does_not_go_on_from_this_checkpoint(record: RunRecord, place: Path) -> None:
    del record
    with pytest.raises(PkvError, match="another schedule"):
        EXPERIMENT.run(settings(place, steps=4))


def test_a_model_that_answers_without_the_picture_fails(record: RunRecord) -> None:
    assert failed(lambda: changed(record, lambda one: one)) == set()

    def sees(shown: str) -> Report:
        return changed(record, lambda one: replace(one, **{shown: replace(one.own, top_token_right=True)}))

    assert "grey_picture_tells_nothing" in failed(lambda: sees("grey"))
    assert "other_picture_tells_nothing" in failed(lambda: sees("other"))


def test_what_stands_in_both_splits_fails(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run() -> RunRecord:
        return EXPERIMENT.run(settings(place, results_dir=tmp_path))

    with monkeypatch.context() as patched:
        patched.setattr("experiments.train_vision.measure.names_of", lambda *_: {"a picture"})
        assert "splits_share_no_picture" in failed(run)
    monkeypatch.setattr("experiments.train_vision.measure.placed_things", lambda *_: ("a thing",))
    assert "splits_share_no_thing" in failed(run)


def test_a_runner_that_reads_otherwise_fails(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.train_vision.measure.own_forward_error", lambda *_: 1.0)
    run = settings(place, results_dir=tmp_path)
    assert "runner_equals_own_forward" in failed(lambda: EXPERIMENT.run(run))


def test_the_best_constant_answer_is_the_commonest_of_each_kind() -> None:
    said = PictureAnswer("red", True, True, 1.0)

    def answered(kind: str, gold: str) -> Answered:
        return Answered("one", kind, "perception", "1", gold, said, said, said)

    part = [answered("colour", gold) for gold in ("red", "red", "blue")] + [answered("count", "two")]
    assert constant(part) == 3 / 4


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_the_tables(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert record.model_name in figure.layout.title.subtitle.text
    if name == "accuracy":
        own = [
            line["value"]
            for line in record.tables["accuracy"]
            if line["condition"] == "one" and line["shown"] == "own"
        ]
        assert list(figure.data[0].y) == own


def test_the_record_can_be_made_again_from_what_was_measured(record: RunRecord) -> None:
    assert record.path is not None
    again = EXPERIMENT.summarise_again(record.path)
    assert again.model_dump() == record.model_dump() == read(record.path).model_dump()


def test_its_config_is_its_defaults() -> None:
    assert compose("train_vision") == TrainVisionSettings()
