"""Where notes come from, in prompts that have the field after the rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from experiments.origin.cases import Arrangement
from experiments.origin.cells import Cell
from experiments.origin.criteria import COMPARED, NOTE_AT_FIELD
from experiments.origin.tables import Accuracy
from pkv_interp.run.claims import Verdict
from pkv_interp.tasks import Case
from tests.experiments.origin_reports import cell, of_notes, report


def at_the_field(case: Case, one: Arrangement) -> Cell:
    """A reader of late prompts to which the field's own tokens tell what a flipped trigger made of them."""
    made = cell(case, 0.0 if case.changed == "trigger" else 1.0, 0.1)
    return replace(made, parts=made.parts | {"kind: field": 2.0 - 0.02 * (one.seed or 0)})


def at_the_trigger(case: Case, _: Arrangement) -> Cell:
    return cell(case, 0.9, 0.1)


def only_early(case: Case, one: Arrangement) -> Cell:
    late = case.clean.spans["field"] > case.clean.spans["trigger"]
    return cell(case, 0.9, 0.1, right=not late) if late else at_the_field(case, one)


@pytest.mark.parametrize(
    ("reader", "claim"), [(at_the_field, NOTE_AT_FIELD), (at_the_trigger, COMPARED), (only_early, None)]
)
def test_a_flipped_trigger_tells_what_the_late_field_holds(reader: Any, claim: str | None) -> None:
    made = report(reader, of_notes)
    late = [line for line in made.tables if isinstance(line, Verdict)]
    held = {line.claim for line in late if line.holds} & {NOTE_AT_FIELD, COMPARED}
    assert held == ({claim} if claim else set())
    mechanism = {name for name in made.stated() if name.startswith("late_reader_")} - {"late_reader_accuracy"}
    if claim is None:  # a part that cannot decide there has no mechanism
        assert mechanism == set()
    else:
        assert len(mechanism) == 4
        wanted = 0.995 if claim == NOTE_AT_FIELD else 0.0
        assert made.stated()["late_reader_field_tokens"].value == pytest.approx(wanted)


def test_without_a_late_curriculum_the_mixed_reader_is_judged_there() -> None:
    stated = report(at_the_field, of_notes, curricula=["mixed"]).stated()
    assert stated["late_reader_field_tokens"].value == pytest.approx(0.995)


def test_a_reader_trained_with_the_field_late_is_judged_there() -> None:
    """Its own place has its own figures; a training with the field early alone has none there."""

    def by_place(case: Case, one: Arrangement) -> Cell:
        late = case.clean.spans["field"] > case.clean.spans["trigger"]
        return cell(case, 0.7 if late else 0.0, 0.3 if late else 0.9, right=one.curriculum != "late" or late)

    made = report(by_place, of_notes)
    stated = made.stated()
    assert (stated["late_reader_accuracy"].value, stated["reader_accuracy"].value) == (1.0, 1.0)
    assert stated["late_reader_field_only"].value == pytest.approx(0.7)
    assert stated["late_reader_notes_only"].value == pytest.approx(0.3)
    right = {
        (line.curriculum, line.place): line.value
        for line in made.tables
        if isinstance(line, Accuracy) and line.role == "reader" and line.seed is None and line.side == "both"
    }
    assert right == {
        ("early", "early"): 1.0, ("late", "early"): 0.5, ("late", "late"): 1.0,
        ("mixed", "early"): 1.0, ("mixed", "late"): 1.0,
    }  # fmt: skip
    alone = report(of_notes, of_notes, curricula=["early"], prefill_curricula=["early"]).stated()
    assert not any(name.startswith("late_") for name in alone)
