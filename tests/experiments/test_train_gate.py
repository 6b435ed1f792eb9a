"""The gate adapter's training as an experiment: a short one on a tiny model, and its summary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.train_gate.experiment import EXPERIMENT
from experiments.train_gate.figures import FIGURES
from experiments.train_gate.fitting import fit
from experiments.train_gate.goals import goals
from experiments.train_gate.judging import Answer, Answers, CacheStates, Mechanism
from experiments.train_gate.measure import ChatLosses, Measured
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.summary import summarise
from experiments.train_gate.tables import ChatLoss
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, read
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.records.tables import by_table, first_of
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.training import chat, schedule
from pkv_interp.training.examples import Example, Turn
from pkv_interp.training.schedule import Stage
from tests.experiments.configs import compose

STAGES = (
    Stage(steps=2, lessons="listings", lr=(2e-2, 2e-2), batch=4),
    Stage(steps=2, lr=(2e-2, 2e-4), batch=4, chat=1, chat_weight=0.3),
)


def examples(seed: int, step: int, size: int, *rest: object) -> list[Example]:
    """Examples in words of the tiny tokenizer."""
    del seed, rest
    sides = (("pending", "cancel"), ("shipped", "deny"))
    chosen = [sides[(i + step) % 2] for i in range(size)]
    return [
        Example("plain", "You handle orders.", (Turn(f"order status: {value}", "Action:", action),), True)
        for value, action in chosen
    ]


def settings(place: Path, **changes: Any) -> TrainGateSettings:
    given = {
        "model": "tiny-llama",
        "results_dir": place / "results",
        "work_dir": place / "work",
        "adapter_dir": place / "adapter",
        "stages": STAGES,
        "rank": 4,
        "snapshot_every": 3,
        "lengths": (0,),
        "instances": 1,
        "bootstrap_draws": 100,
    }
    return TrainGateSettings.model_validate(given | changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("train_gate")


@pytest.fixture(scope="module")
def record(place: Path) -> RunRecord:
    """A run that was stopped between training and judging, and repeated."""
    full = chat.prompts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule, "batch", examples)
        patch.setattr(schedule, "lessons", examples)
        patch.setattr(chat, "prompts", lambda held: full(held)[:2])
        fit(settings(place))
        # From here on a step or a reply would be one too many: all of it lies in the folder.
        patch.setattr(Stage, "examples", None)
        patch.setattr(chat, "sample_replies", None)
        return EXPERIMENT.run(settings(place))


def test_a_repeat_goes_on_from_the_checkpoint_and_judges_every_snapshot(
    record: RunRecord, place: Path
) -> None:
    assert record.status == "success"
    assert [line["step"] for line in record.tables["history"]] == [1, 2, 3, 4]
    assert record.tables["history"][0]["accuracy_late"] is None
    assert sorted({int(str(line["step"])) for line in record.tables["mechanism_by_step"]}) == [3, 4]
    assert {path.name for path in (place / "work").glob("step-*")} == {"step-00003", "step-00004"}
    assert (place / "adapter" / "adapter_model.safetensors").is_file()
    losses = first_of(record, ChatLoss)
    assert losses.ratio == pytest.approx(losses.adapted / losses.base)
    assert losses.base != losses.adapted


def test_the_record_is_about_the_adapted_model(record: RunRecord) -> None:
    assert EXPERIMENT.settings.model_validate(record.config).model.adapter is None
    assert record.model["adapter_sha256"] is not None
    assert "self_patch" in {control.name for control in record.controls}


def test_a_finished_training_is_not_repeated_wherever_its_weights_lie(record: RunRecord, place: Path) -> None:
    elsewhere = settings(place, work_dir=place / "nowhere", adapter_dir=place / "no_adapter")
    assert EXPERIMENT.run(elsewhere).started_at == record.started_at
    assert not (place / "nowhere").exists()


def test_a_finished_adapter_is_judged_as_it_is(record: RunRecord, place: Path, tmp_path: Path) -> None:
    asked = settings(place, train=False, results_dir=tmp_path)
    judged = EXPERIMENT.run(asked)  # no step and no reply: the training is finished, and its chats lie there
    assert all(line["step"] == asked.steps for line in judged.tables["mechanism_by_step"])
    assert "history" not in judged.tables
    for name in ("accuracy", "chat_loss"):
        assert judged.tables[name] == record.tables[name]
    with pytest.raises(PkvError, match="holds no adapter"):
        fit(asked.model_copy(update={"adapter_dir": tmp_path / "none"}))


@pytest.mark.usefixtures("record")
def test_chats_to_replay_are_not_sampled_for_a_finished_adapter(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[int] = []

    def sample(*_: object, seed: int) -> list[chat.Chat]:
        sampled.append(seed)
        return [chat.Chat("orders", "pending")]

    monkeypatch.setattr(chat, "sample_replies", sample)
    fit(settings(place, train=False, work_dir=tmp_path))
    assert sampled == [1]  # the held-out ones, which the base model's loss is taken on


def test_the_record_can_be_made_again_from_what_was_measured(record: RunRecord) -> None:
    assert record.path is not None
    again = EXPERIMENT.summarise_again(record.path)
    assert again.model_dump() == record.model_dump() == read(record.path).model_dump()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_the_tables(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert record.model_name in figure.layout.title.subtitle.text
    if name == "accuracy":
        match = [line["value"] for line in record.tables["accuracy"] if line["side"] == "match"]
        assert list(figure.data[0].y) == match
    else:
        (curve,) = [trace for trace in figure.data if trace.name == "field alone"]
        field_only = [x["value"] for x in record.tables["mechanism_by_step"] if x["arm"] == "field_only"]
        assert list(curve.y) == field_only


CONDITIONS = (
    "field-late",
    "unrelated-update",
    "near-update",
    "no-template",
    "reverted-tagged",
    "layout-dossier",
)


def answers() -> list[Answer]:
    """Right on one family, wrong on the mismatching side of the other, in two conditions."""
    return [
        Answer(condition, family, f"{family}-{match}", "if_otherwise", match, 50, margin, True)
        for condition in ("length-0", "update-tagged")
        for family in ("orders", "alerts")
        for match in (True, False)
        for margin in [-1.0 if family == "alerts" and not match else 2.0]
    ]


def pairs(changed_only: float) -> list[CacheStates]:
    """Pairs with a gap of 4, of which notes alone bring 3."""
    return [
        CacheStates(family, changed, 2.0, -2.0, -2.0 + changed_only, 1.0)
        for family in ("orders", "alerts")
        for changed in ("field", "trigger")
    ]


@pytest.fixture(scope="module")
def report() -> Report:
    asked = settings(Path("unused"), stages=(Stage(steps=4, lr=(1e-3, 1e-3)),), snapshot_every=2)
    conditions = [
        Answer(name, family, f"{family}-{match}", "if_otherwise", match, 50, 1.0, True)
        for name in CONDITIONS
        for family in ("orders", "alerts")
        for match in (True, False)
    ]
    measured = Measured(
        Answers([*answers(), *conditions]),
        {2: Mechanism(pairs(4.0)), 4: Mechanism(pairs(1.0))},
        ChatLosses(2.0, 1.5, 3),
        [{"loss": 1.0, "chat_loss": 0.0, "accuracy_other_update": 0.5}],
    )
    facts: dict[str, Any] = {"dtype": "float32", "random_weights": False}
    place = environment(device="cpu", dtype="float32", attention="eager")
    return summarise(measured, Scoring(asked, Head(facts, (), {"margin": 1e-3}, place)))


def test_headlines_are_of_all_answers_and_of_the_last_step(report: Report) -> None:
    values = {headline.name: headline.estimate.value for headline in report.headlines}
    assert values == {
        "accuracy": 0.75,
        "accuracy_field_late": 1.0,
        "accuracy_updates": 0.75,
        "accuracy_reverted": 1.0,
        "accuracy_unrelated_update": 1.0,
        "accuracy_near_update": 1.0,
        "accuracy_unseen_layout": 1.0,
        "accuracy_no_template": 1.0,
        "field_only": 0.25,
        "field_notes_only": 0.75,
        "trigger_only": 0.25,
        "trigger_notes_only": 0.75,
    }
    assert set(report.stated()) == set(values)  # there is no gate that could hold one back
    assert all(len(headline.what.split()) <= 10 for headline in report.headlines)


def test_tables_tell_sides_and_steps_apart(report: Report) -> None:
    tables = by_table(report.tables)
    sides = {(x["condition"], x["side"]): x["value"] for x in tables["accuracy"]}
    assert (sides["length-0", "match"], sides["length-0", "mismatch"]) == (1.0, 0.5)
    steps = {(x["step"], x["arm"]): x["value"] for x in tables["mechanism_by_step"]}
    assert (steps[2, "field_only"], steps[4, "field_only"]) == (1.0, 0.25)
    assert {x["accuracy"] for x in tables["mechanism_by_step"]} == {1.0}
    assert tables["chat_loss"] == [{"base": 2.0, "adapted": 1.5, "ratio": 0.75, "n_chats": 3}]
    assert (tables["history"][0]["accuracy_plain"], tables["history"][0]["accuracy_other_update"]) == (
        None,
        0.5,
    )
    rows = [row for row in report.rows if row.arm == "length-0"]
    assert np.mean([bool(row.extra["right"]) for row in rows]) == 0.75


def test_goals_are_reported_as_reached_or_missed(report: Report) -> None:
    lines = by_table(report.tables)["goals"]
    told = {(x["name"], x["side"]): (x["value"], x["reached"]) for x in lines}
    assert told["accuracy_to_600_tokens", "match"] == (1.0, True)
    assert told["accuracy_to_600_tokens", "mismatch"] == (0.5, False)
    assert told["updates_followed", "both"] == (0.75, False)
    assert told["updates_taken_back", "both"] == (1.0, True)
    assert told["misled_by_another_field", "both"] == (0.0, True)
    assert told["chat_loss", "both"] == (0.75, True)
    assert ("accuracy_above_600_tokens", "match") not in told  # no prompt was that long


def test_wrong_decisions_after_an_update_of_another_field_miss_their_goal() -> None:
    asked = [
        Answer("near-update", "orders", str(n), "if_otherwise", n % 2 == 0, 700, -1.0 if n < 4 else 1.0, True)
        for n in range(100)
    ]
    long = [replace(a, condition="length-56") for a in asked]
    told = {(x.name, x.side): x for x in goals([*asked, *long], 1.01)}
    misled = told["misled_by_another_field", "both"]
    assert (misled.value, misled.at_most, misled.reached) == (pytest.approx(0.04), True, False)
    assert told["accuracy_above_600_tokens", "match"].value == pytest.approx(0.96)
    assert told["accuracy_above_600_tokens", "match"].reached
    assert ("accuracy_to_600_tokens", "match") not in told
    assert not told["chat_loss", "both"].reached


@pytest.mark.parametrize(
    ("override", "cause"),
    [
        ("stages=[{steps:3,lr:[1.0e-3,1.0e-3],mix:{plain:0.5}}]", "mix of stage 1 sums to 0.5"),
        ("stages=[]", "at least 1 item"),
        ("rank=0", "greater than 0"),
        ("lengths=[4,0]", "rising order"),
    ],
)
def test_a_schedule_that_cannot_run_is_refused_before_a_model_is_loaded(override: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("train_gate", override)
