"""Trainings beside the gate's schedule: recipes compose, run on a tiny model and are judged by pattern."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments.train_gate.courses import soft_tokens
from experiments.train_gate.experiment import EXPERIMENT
from experiments.train_gate.fitting import fit
from experiments.train_gate.replaced import replaced_cases, under_replacement
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.under_pattern import scenes_of, under_patterns
from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_patterns import READ, Patterns
from pkv_interp.models.load import load_adapted
from pkv_interp.records import RunRecord
from pkv_interp.training import chat
from pkv_interp.training.courses import Memories, Programmable, Reader
from pkv_interp.training.replaced_losses import ReplacedLosses
from pkv_interp.training.schedule import Stage
from tests.experiments.configs import compose

STAGES = (
    Stage(steps=2, lessons="rules", lr=(2e-2, 2e-2), batch=4, mix={"plain": 0.5, "late": 0.5}),
    Stage(steps=2, lessons="rules", lr=(2e-2, 2e-4), batch=4, chat=1, chat_weight=0.3),
)


def settings(place: Path, course: Any, **changes: Any) -> TrainGateSettings:
    given = {
        "model": "tiny-llama",
        "results_dir": place / "results",
        "work_dir": place / "work",
        "adapter_dir": place / "adapter",
        "stages": STAGES,
        "rank": 4,
        "snapshot_every": 2,
        "lengths": (0,),
        "instances": 1,
        "bootstrap_draws": 100,
        "course": course,
    }
    return TrainGateSettings.model_validate(given | changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("courses")


@pytest.fixture(scope="module")
def record(place: Path) -> RunRecord:
    full = chat.prompts
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chat, "prompts", lambda held: full(held)[:2])
        return EXPERIMENT.run(
            settings(place, {"kind": "programmable", "links": 1, "isolated": 1.0, "blind": 0.5})
        )


def lines_of(record: RunRecord, table: str) -> list[dict[str, Any]]:
    return record.tables[table]  # type: ignore[return-value]


def test_each_snapshot_is_judged_under_the_pattern(record: RunRecord) -> None:
    lines = lines_of(record, "pattern_by_step")
    assert {line["step"] for line in lines} == {2, 4}
    by_place = {place: {x["arm"] for x in lines if x["place"] == place} for place in ("early", "late")}
    assert by_place == {
        "early": {"full", "field_only", "full_isolated", "full_rule_linked"},
        "late": {"full", "field_only", "full_isolated"},
    }
    kinds = {line["kind"] for line in lines_of(record, "history_by_kind")}
    assert kinds <= {"isolated", "isolated_late", "blind", "blind_late"}
    assert kinds
    assert [line["step"] for line in record.tables["history"]] == [1, 2, 3, 4]
    course: Any = record.config["course"]
    assert course["links"] == 1


def test_a_course_that_reads_back_is_judged_so_as_well(record: RunRecord, place: Path) -> None:
    asked = settings(place, {"kind": "programmable", "read_back": 0.5})
    loaded = load_adapted(asked.model, place / "adapter")
    (scene,) = scenes_of(asked, loaded.tokenizer)[:1]
    found = under_patterns(loaded, [scene], asked).edits[0]
    reading = {arm for arm in found.margins if arm.startswith(READ)}
    assert reading == {f"{READ}{arm}" for arm in ("full", "field_only", "full_isolated")} == set(found.read)
    # A decision after a written value stands after another text, and is another one.
    assert all(found.margins[arm] != found.margins[arm.removeprefix(READ)] for arm in reading)
    state = Patterns.of(loaded, scene).plain.edit(scene.task.field, scene.task.new, "full_reprefill")
    written = state.read(scene.task.field)
    assert found.read[f"{READ}full"] is (written.lower() == scene.task.new.lower())
    # The course of the record does not, and has no such arm.
    assert not any(line["arm"].startswith(READ) for line in lines_of(record, "pattern_by_step"))


def test_the_record_can_be_made_again_from_what_was_measured(record: RunRecord) -> None:
    assert record.path is not None
    assert EXPERIMENT.summarise_again(record.path).model_dump() == record.model_dump()


@pytest.mark.parametrize("active", ["decision", "all"])
def test_a_training_that_starts_from_another_ones_adapter(
    record: RunRecord, place: Path, tmp_path: Path, active: str
) -> None:
    del record
    asked = settings(
        tmp_path, {"kind": "reader", "active": active}, start=str(place / "adapter"), stages=STAGES[:1]
    )
    with pytest.MonkeyPatch.context() as patch:
        full = chat.prompts
        patch.setattr(chat, "prompts", lambda held: full(held)[:2])
        history = fit(asked).history
        assert len(history) == 2
        assert {name for step in history for name in step if name.startswith("accuracy_")}
        # The checkpoint knows which adapter and which course it is of.
        with pytest.raises(PkvError, match="is of another schedule"):
            fit(
                settings(
                    tmp_path, {"kind": "reader", "active": "question"}, start=asked.start, stages=STAGES[:1]
                )
            )
        with pytest.raises(PkvError, match="is of another schedule"):
            fit(settings(tmp_path, {"kind": "reader", "active": active}, stages=STAGES[:1]))


@pytest.mark.parametrize("active", ["decision", "question", "all"])
def test_a_reader_is_judged_where_its_adapter_acts(record: RunRecord, place: Path, active: Any) -> None:
    """Against the editing side: the writer's cache, the field's columns put in, the rest by the reader."""
    del record  # its adapter is there
    asked = settings(place, {"kind": "reader", "active": active})
    writer, reader = (load_adapted(asked.model, at) for at in (None, place / "adapter"))
    every = replaced_cases(asked, reader.tokenizer)
    cases = [one for one in every if one[1].family == every[0][1].family]
    assert [where for where, _ in cases] == ["early", "late"]
    spans = [case.clean.spans for _, case in cases]
    assert spans[0]["field"] < spans[0]["rule"]
    assert spans[1]["field"] > spans[1]["rule"]
    found = under_replacement(reader, cases, ReplacedLosses(active, writer.model)).edits
    ends, writes = Runner.of(reader.model), Runner.of((reader if active == "all" else writer).model)
    for number, one in enumerate(found):
        where, case = cases[number // 2]
        new, old = (case.clean, case.corrupt)[:: -1 if number % 2 else 1]
        mine, other = case.action_ids[:: -1 if number % 2 else 1]
        assert (one.place, one.family) == (where, case.family)
        start = new.decision if active == "decision" else new.spans["question"][0]
        given = writes.prefill(new.ids[:start]).cache
        edited = writes.prefill(old.ids[:start]).cache.replace(range(*new.spans["field"]), given)
        for arm, cache in (("full", given), ("field_only", edited)):
            logits = ends.extend(cache, new.ids[start:]).logits
            assert one.margins[arm] == pytest.approx(float(logits[mine] - logits[other]), abs=1e-4)
        assert one.margins["full"] != one.margins["field_only"]


@pytest.mark.parametrize(
    ("active", "said"),
    [("all", None), ("question", "from the question on"), ("decision", "at the decision token alone")],
)
def test_a_reader_record_says_where_its_adapter_acts(
    record: RunRecord, place: Path, tmp_path: Path, active: Any, said: str | None
) -> None:
    del record  # its adapter is there
    start = place / "adapter"
    asked = settings(tmp_path, {"kind": "reader", "active": active}, start=str(start), stages=STAGES[:1])
    given: list[Any] = []

    def noted(loaded: Any, cases: Any, losses: Any) -> Any:
        given.append(losses.writer)
        return under_replacement(loaded, cases, losses)

    with pytest.MonkeyPatch.context() as patch:
        full = chat.prompts
        patch.setattr(chat, "prompts", lambda held: full(held)[:2])
        patch.setattr("experiments.train_gate.measure.under_replacement", noted)
        made = EXPERIMENT.run(asked)
    told = [one for one in made.remarks if "the adapter was trained to act" in one]
    assert len(told) == (said is not None)
    assert all(str(said) in one for one in told)
    lines = lines_of(made, "pattern_by_step")
    assert {(line["arm"], line["place"]) for line in lines} == {
        (arm, where) for arm in ("full", "field_only") for where in ("early", "late")
    }
    if active == "all":
        assert given == [None]
        return
    # Caches are written by the model that training starts from, not by the bare one and not by the reader.
    (writer,) = given
    for at, same in ((start, True), (None, False), (asked.adapter_dir, False)):
        weights = load_adapted(asked.model, at).model.state_dict()
        assert all(value.equal(weights[name]) for name, value in writer.state_dict().items()) is same


def test_distillation_needs_an_adapter_to_distil(place: Path) -> None:
    with pytest.raises(ValueError, match="nothing to distil"):
        settings(place, {"kind": "programmable", "objective": "distil_actions"})
    with pytest.raises(ValueError, match="start is of a course"):
        settings(place, None, start="gate_smollm2_135m")


#: What a course and its control, which takes as many steps of the same prompts, have in common.
_DISTILLED: dict[str, Any] = {"objective": "distil_actions", "read_back": 0.7}


@pytest.mark.parametrize(
    ("recipes", "courses"),
    [
        (
            ("programmable", "programmable_control"),
            (
                Programmable(blind=0.3, links="rule", **_DISTILLED),
                Programmable(isolated=0.0, blind=0.0, **_DISTILLED),
            ),
        ),
        (("reader", "reader_random"), (Reader(), Reader(edited=0.0, random=0.4))),
    ],
)
def test_a_recipe_and_its_control_go_on_from_the_gate_for_equally_many_steps(
    recipes: tuple[str, str], courses: tuple[Any, Any]
) -> None:
    made = [compose("train_gate", f"+recipe={recipe}") for recipe in recipes]
    trained, control = (one for one in made if isinstance(one, TrainGateSettings))
    assert (trained.course, control.course) == courses
    assert trained.stages == control.stages
    assert trained.snapshots == control.snapshots
    assert {trained.start, control.start} == {"gate_smollm2_135m"}
    assert trained.work_dir != control.work_dir


def test_lessons_on_memories_begin_with_few_settings_and_widen() -> None:
    made = compose("train_gate", "+recipe=memory")
    assert isinstance(made, TrainGateSettings)
    assert isinstance(made.course, Memories)
    assert made.start == "gate_smollm2_135m"
    assert made.course.lines[0] <= 4
    breadths = [stage.breadth for stage in made.schedule]
    assert breadths[0][0] < 0.1
    assert all(first < last for first, last in breadths)
    longest = max(last for _, last in breadths) * made.course.lines[1]
    assert longest > 24  # settings of the lists that are asked about


def test_the_soft_recipe_trains_one_token_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = compose("train_gate", "+recipe=programmable_soft")
    assert isinstance(asked, TrainGateSettings)
    assert asked.start == "gate_smollm2_135m"
    monkeypatch.setattr("experiments.train_gate.courses.following", lambda *_: [5])
    assert soft_tokens(asked, None) == (5,)
    monkeypatch.setattr("experiments.train_gate.courses.following", lambda *_: [5, 6])
    with pytest.raises(PkvError, match="is 2 tokens of smollm2-135m-base"):
        soft_tokens(asked, None)
    assert soft_tokens(asked.model_copy(update={"course": Programmable(links=2)}), None) == ()
    assert soft_tokens(asked.model_copy(update={"course": None}), None) == ()
