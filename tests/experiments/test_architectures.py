"""The experiment on architectures: what its record says, and how its controls fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.architectures import document
from experiments.architectures.arms import ARMS, EDITED, Arm, SceneArms, read_arms
from experiments.architectures.checks import judge
from experiments.architectures.figures import FIGURES
from experiments.architectures.measure import Measured, ModelArms, OfTable
from experiments.architectures.settings import ArchitecturesSettings
from experiments.architectures.summary import arm_line, decisions_of, summarise
from experiments.architectures.support import GROUPS, support_lines
from experiments.architectures.tables import ArmLine, OperationLine, SupportLine
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.reach import OPERATIONS, Tried
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.tables import rows_of
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats.intervals import wilson_ends
from pkv_interp.tolerances import Tolerance, tolerance_of
from tests.experiments.configs import compose

SMALL: dict[str, Any] = {"families": ("orders", "alerts"), "n_fillers": 0}


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("architectures"))
    return found


def scene(arms: dict[str, float], family: str = "orders", matches: bool = True) -> SceneArms:
    made = {name: Arm(margin, True) for name, margin in arms.items()}
    return SceneArms(family, "held_out", f"{family}-{matches}", "when", matches, made, 0.0)


def model(*scenes: SceneArms, tried: Sequence[Tried] = ()) -> ModelArms:
    return ModelArms("one", "words", ("full, rotary",), tried, scenes)


#: Margins towards the new action: of stale, full, erratum and hoisted.
TELLING = {"stale": -2.0, "full": 1.0, "erratum": 0.5, "hoisted": -0.5}


def test_the_record_is_of_the_table_and_counts_what_is_served(record: RunRecord) -> None:
    assert record.model_name == "tiny-table"
    assert record.competence is None
    lines = rows_of(record, OperationLine)
    assert [line.architecture for line in lines[:: len(OPERATIONS)]] == ["llama", "gpt2", "mamba2"]
    served = sum(line.error is not None and line.error <= 1e-4 for line in lines)
    refused = sum(line.reason is not None for line in lines)
    assert record.headline["supported"].value == served
    assert record.headline["refused"].value == refused
    assert served + refused == 3 * len(OPERATIONS)
    assert {row.arm for row in record.rows} == set(EDITED)


def test_recovery_is_over_the_edits_in_which_full_and_stale_differ(record: RunRecord) -> None:
    for line in rows_of(record, ArmLine):
        rows = [row for row in record.rows if row.extra["model"] == line.model and row.arm == line.arm]
        telling = [row for row in rows if float(row.clean or 0.0) > 0 > float(row.corrupt or 0.0)]
        assert (line.edits, line.discriminating) == (len(rows), len(telling))
        assert line.picked == sum(float(row.patched or 0.0) > 0 for row in telling)


def test_what_random_weights_pick_is_drawn_as_meaning_nothing(record: RunRecord) -> None:
    told: Any = FIGURES["arms"](record)
    assert "random weights, whose picks mean nothing" in told.layout.title.subtitle.text
    trained = record.model_copy(update={"model": {**record.model, "random_weights": False}})
    other: Any = FIGURES["arms"](trained)
    assert "random weights" not in other.layout.title.subtitle.text


def test_one_line_of_recovery_by_hand() -> None:
    scenes = [
        scene(TELLING),
        scene({**TELLING, "erratum": -0.1}, "alerts"),
        scene({**TELLING, "full": -1.0}),  # the full prompt does not follow the new value: no trial
        scene({**TELLING, "stale": 1.0}),  # nor does the stale one follow the old
        scene({**TELLING, "erratum": 3.0}),
    ]
    line = arm_line(model(*scenes), "erratum")
    assert (line.picked, line.discriminating, line.edits) == (2, 3, 5)
    assert line.recovery == pytest.approx(2 / 3)
    # Edits of a family count as one trial: there are two families.
    assert (line.recovery_ci_low, line.recovery_ci_high) == wilson_ends(4 / 3, 2, 0.95)
    alone = arm_line(model(scenes[0], scenes[4]), "erratum")
    assert (alone.recovery, alone.discriminating) == (1.0, 2)
    assert (alone.recovery_ci_low, alone.recovery_ci_high) == wilson_ends(1, 1, 0.95)
    assert (line.full_picks_new, line.stale_picks_old) == (0.8, 0.8)
    none = arm_line(model(scenes[2]), "hoisted")
    assert (none.recovery, none.discriminating) == (None, 0)


def test_competence_is_of_the_whole_prompts() -> None:
    found = decisions_of([scene(TELLING), scene({**TELLING, "full": -1.0, "stale": 1.0}, matches=False)])
    assert [one.right for one in found] == [True, True, False, False]
    assert [one.gold_is_match for one in found] == [False, True, True, False]
    assert [one.margin for one in found] == [2.0, 1.0, -1.0, -1.0]


class _Judge:
    """Takes checks as a session does."""

    tolerance: Tolerance = tolerance_of("float32")

    def __init__(self) -> None:
        self.passed: dict[str, bool] = {}

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        assert detail
        self.passed[name] = abs(value - expected) <= tolerance

    def set_noise_floor(self, largest_difference: float) -> float:
        return largest_difference


def failed(*models: ModelArms) -> set[str]:
    session = _Judge()
    judge(session, models)
    assert session.passed
    return {name for name, passed in session.passed.items() if not passed}


def test_a_served_operation_that_is_wrong_fails_the_run() -> None:
    good = (Tried("erratum", 1e-6), Tried("splice", reason="no"))
    assert failed(model(scene(TELLING), tried=good)) == set()
    for wrong in (2e-4, float("nan"), float("inf")):
        tried = (*good, Tried("recompute@4", wrong))
        assert "operations_exact_or_refused" in failed(model(scene(TELLING), tried=tried))


def test_a_line_that_is_no_line_of_the_text_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state that loses the tokens before a line, as Mamba's does where several are read over it."""
    (edit, *_), loaded = scenes("mamba")
    assert failed(model(read_arms(loaded, edit, "override"))) == set()
    monkeypatch.setattr("pkv_interp.cache.state_runner._ALONE.of", lambda _: False)
    assert "appended_equals_whole" in failed(model(read_arms(loaded, edit, "override")))


def scenes(name: str) -> tuple[list[EditScene], OfTable]:
    loaded = OfTable.of(name)
    settings = ArchitecturesSettings(**SMALL)
    source = SceneSource.of(settings, loaded.tokenizer)
    return source.scenes(source.style(0), 1), loaded


def test_arms_are_the_decisions_of_texts_read_whole() -> None:
    """Against logits of the model's own forward over the text that each arm is."""
    edits, loaded = scenes("qwen3-next")
    found = read_arms(loaded, edits[0], "override")
    assert set(found.arms) == set(ARMS)
    assert found.appended < 1e-4
    assert len({round(arm.margin, 6) for arm in found.arms.values()}) == len(ARMS)
    assert found.matches is edits[0].task.matches
    other = read_arms(loaded, edits[1], "override")
    # The other direction: its old prompt is this one's new prompt, and its new action this one's old.
    assert other.arms["stale"].margin == pytest.approx(-found.arms["full"].margin, abs=1e-5)


def test_a_model_without_telling_edits_states_no_recovery() -> None:
    settings = ArchitecturesSettings(model=load_catalogue_entry("tiny-llama"), **SMALL)
    head: Any = type("Head", (), {"model": {"random_weights": False}, "noise_floor": {"margin": 1e-3}})()
    scoring = Scoring(settings, head)
    two = [scene(TELLING, family) for family in ("orders", "alerts")]
    stated = {one.name for one in summarise(Measured([model(*two)]), scoring).headlines}
    assert stated == {"competence", "recovery_erratum", "recovery_hoisted"}
    silent = [replace(one, arms={**one.arms, "full": Arm(-1.0, True)}) for one in two]
    report = summarise(Measured([model(*silent)]), scoring)
    assert {one.name for one in report.headlines} == {"competence"}
    assert {line.discriminating for line in report.tables if isinstance(line, ArmLine)} == {0}


def test_support_lines_say_what_is_refused_and_number_reasons_once() -> None:
    tried = [Tried(operation, 0.0) for names in GROUPS.values() for operation in names]
    other = [
        Tried(one.operation, reason=f"moving by {n} is refused")
        if one.operation in GROUPS["move"]
        else Tried(one.operation, reason="a chunk")
        if one.operation == "epic@2"
        else one
        for n, one in enumerate(tried)
    ]
    lines, reasons = support_lines([model(tried=tried), replace(model(tried=other), name="two")])
    assert {getattr(lines[0], group) for group in GROUPS} == {"exact"}
    assert lines[1].edit_in_place == "exact but epic@2 (1)"
    assert lines[1].move == "refused (2)"
    assert [(one.number, one.reason) for one in reasons] == [(1, "a chunk"), (2, "moving by N is refused")]
    spoilt = [replace(one, error=1.0) if one.operation == "splice" else one for one in tried]
    assert support_lines([model(tried=spoilt)])[0][0].move == "wrong: splice"


def test_every_operation_has_a_column_of_the_support_table() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(OPERATIONS)
    assert set(GROUPS) <= {field for field in SupportLine.__dataclass_fields__}


def test_a_document_without_its_place_is_refused() -> None:
    assert document.filled("a\n<!-- support -->\nold\n<!-- end -->\nb", "new").split("\n")[2] == "new"
    with pytest.raises(PkvError, match="has 0 places for the table"):
        document.filled("nothing", "new")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["lama"]}, "there is no tiny architecture 'lama'"),
        ({"model": "tiny-llama", "architectures": ["llama"]}, "names rows of tiny-table"),
        ({"prefill_dtype": "bfloat16"}, "prompts are read whole"),
        ({"remote": "local"}, "prompts are read whole"),
        (
            {"model": load_catalogue_entry("tiny-llama").model_copy(update={"pattern": "isolated"})},
            "prompts of tiny-llama are read without a pattern",
        ),
    ],
)
def test_settings_that_say_nothing_are_refused_before_a_model_loads(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(PkvError, match=words):
        find("architectures").run(results_dir=tmp_path, **changes)


def test_other_experiments_refuse_the_table(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="tiny-table is a table of models and no single one; name a model"):
        find("circuit").run(model="tiny-table", results_dir=tmp_path)


def test_the_command_line_and_python_have_the_same_defaults() -> None:
    assert compose("architectures") == ArchitecturesSettings()


def test_published_figures_have_our_names() -> None:
    assert set(published(experiment="architectures")["headline"]) == {"recovery_erratum"}
