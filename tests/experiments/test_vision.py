"""The experiment on pictures: its small run, what breaks its controls, and what it counts."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.vision.arms import SWAPPED, Asked, Spliced
from experiments.vision.counting import agreed, chosen, counts, used
from experiments.vision.editing import counted, decided
from experiments.vision.experiment import EXPERIMENT
from experiments.vision.figures import FIGURES
from experiments.vision.measure import Measured
from experiments.vision.settings import VisionSettings
from experiments.vision.summary import summarise
from pkv_interp.cache.pictures import Pictured
from pkv_interp.measure import picture_splices
from pkv_interp.measure.picture_answers import PictureAnswer
from pkv_interp.measure.picture_edits import EditedAnswer, FieldEdits
from pkv_interp.measure.picture_splices import SplicedArm
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.archive import archive_path
from pkv_interp.records.archive import read as read_archive
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage
from tests.experiments.configs import compose
from tests.experiments.failing import failed


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("vision"))
    return found


@pytest.fixture(scope="module")
def measured(record: RunRecord) -> tuple[Measured, Scoring[VisionSettings]]:
    assert record.path is not None
    found = read_archive(archive_path(record.path), Measured)
    return found.measured, Scoring(VisionSettings.model_validate(record.config), found.head)


def said(answer: str, *, right: bool = True) -> PictureAnswer:
    return PictureAnswer(answer, right, right, 2.0 if right else -1.0)


def asked(kind: str, gold: str, *, right: bool = True, moved: str | None = None) -> Asked:
    answer = said(gold, right=right)
    arm = Spliced("moved", 8, 0, SplicedArm(said(moved or gold), 0.1, 0))
    return Asked(kind, "perception", gold, 1, gold, 20, answer, {8: answer}, [arm])


def test_the_model_is_competent_and_figures_are_stated(record: RunRecord) -> None:
    assert record.competence is not None
    assert record.competence.passed
    assert list(record.headline) == [
        "competence",
        "same_position_agreement",
        "shift_agreement",
        "seam4_agreement",
        "edit_field_only",
        "ttft_ratio",
    ]
    assert {control.name for control in record.controls} == {
        "splice_at_own_position",
        "runner_equals_own_forward",
        "moved_equals_masked",
        "swapped_pictures_disagree",
    }


def small(place: Path) -> RunRecord:
    settings = VisionSettings.model_validate(
        {
            "model": "vision-untrained",
            "kinds": ("colour",),
            "pictures": 1,
            "two": 1,
            "shifts": (3, 6),
            "field_pictures": 1,
            "results_dir": place,
            "bootstrap_draws": 100,
        }
    )
    return EXPERIMENT.run(settings)


def test_values_that_a_splice_loses_break_the_splice_at_its_own_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = picture_splices.splice

    def losing(*given: Any) -> Any:
        made = whole(*given)
        return replace(made, values=tuple(torch.zeros_like(one) for one in made.values))

    monkeypatch.setattr(picture_splices, "splice", losing)
    assert "splice_at_own_position" in failed(lambda: small(tmp_path))


def test_positions_of_text_for_pictures_break_the_own_forward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.cache.picture_runner.has_three_axes", lambda _: False)
    assert "runner_equals_own_forward" in failed(lambda: small(tmp_path))


def test_keys_that_are_not_turned_break_the_moved_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unturned(model: Any, cache: Any, delta: int, **rest: Any) -> Any:
        del model, rest
        assert isinstance(cache.pictured, Pictured)
        return replace(cache, pictured=cache.pictured.moved(delta))

    # The package has a function of the module's name.
    module = importlib.import_module("pkv_interp.composing.splice")
    monkeypatch.setattr(module, "reposition", unturned)
    assert "moved_equals_masked" in failed(lambda: small(tmp_path))


def test_other_pictures_that_change_nothing_break_the_swap(
    measured: tuple[Measured, Scoring[VisionSettings]],
) -> None:
    found, scoring = measured

    def same(one: Asked) -> Asked:
        arms = [
            replace(arm, found=replace(arm.found, answer=one.full[arm.shift])) if arm.arm == SWAPPED else arm
            for arm in one.arms
        ]
        return replace(one, arms=arms)

    changed = {key: same(one) for key, one in found.asked.results.items()}
    swapped = replace(found, asked=Stage(changed))
    assert "swapped_pictures_disagree" in failed(lambda: summarise(swapped, scoring))


def test_what_is_wrong_or_always_the_same_does_not_count(
    measured: tuple[Measured, Scoring[VisionSettings]],
) -> None:
    _, scoring = measured
    part = [
        asked("colour", "red"),
        asked("colour", "blue", moved="red"),
        asked("colour", "green", right=False),
        asked("count", "two"),
        asked("count", "two"),
    ]
    kept = used(part)
    assert [one.gold for one in kept] == ["red", "blue"]
    lines = {line.kind: line for line in counts(part)}
    assert (lines["colour"].asked, lines["colour"].right, lines["colour"].used) == (3, 2, 2)
    assert (lines["count"].answers, lines["count"].used) == (1, 0)
    share = agreed(chosen(kept, lambda arm: arm.arm == "moved"), scoring)
    assert share is not None
    assert share.value == 0.5
    assert agreed([], scoring) is None


def test_an_edit_counts_where_both_values_decide(
    measured: tuple[Measured, Scoring[VisionSettings]],
) -> None:
    _, scoring = measured
    old, new = EditedAnswer(-2.0, False, True, 0.0), EditedAnswer(2.0, True, False, 1.0)

    def edit(stale: EditedAnswer, full: EditedAnswer, mine: EditedAnswer) -> FieldEdits:
        arms = {"stale": stale, "full_reprefill": full, "field_only": mine}
        return FieldEdits("after", "after-colour-shape", "0", arms)

    edits = [edit(old, new, new), edit(old, new, old), edit(new, new, new), edit(old, old, old)]
    assert len(counted(edits, "field_only")) == 2
    share = decided(edits, "field_only", scoring)
    assert share is not None
    assert share.value == 0.5
    assert decided(edits[2:], "field_only", scoring) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"kinds": ("weather",)}, "no kind 'weather'"),
        ({"seams": (1, 4)}, "seams begin with 0"),
        ({"methods": ("field_only", "full_reprefill")}, "methods hold stale"),
        ({"rounds": 1}, "rounds"),
    ],
)
def test_settings_that_compare_nothing_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        VisionSettings.model_validate(changes)


def test_its_config_is_its_defaults() -> None:
    assert compose("vision") == VisionSettings()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_show_the_tables(name: str, record: RunRecord) -> None:
    figure: Any = FIGURES[name](record)
    assert record.model_name in figure.layout.title.subtitle.text
    if name == "first_token":
        times = [line["full_ms"] for line in record.tables["first_token"]]
        assert list(figure.data[0].y) == times


def test_published_figures_have_our_names(record: RunRecord) -> None:
    from pkv_interp.records.published import beside_published

    assert {"competence", "same_position_agreement", "shift_agreement", "ttft_ratio"} == set(
        beside_published(record)
    )
