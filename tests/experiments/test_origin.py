"""Where notes come from: the summary on made-up cells, and trained parts as the engine reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments import find
from experiments.origin.cases import Arrangement, Cases, arrangements, build_cases
from experiments.origin.cells import Cell
from experiments.origin.criteria import COMPARED, FIELD_READ, NOTE_AT_FIELD, NOTES_BEFORE, TRAINED_IN
from experiments.origin.settings import OriginSettings
from experiments.origin.tables import Accuracy, Locus, Recovery
from pkv_interp.errors import PkvError
from pkv_interp.records import load_records
from pkv_interp.records.tables import first_of, rows_of
from pkv_interp.run.claims import Verdict
from pkv_interp.run.settings import checked
from pkv_interp.tasks import Case
from tests import runs
from tests.experiments.configs import compose
from tests.experiments.origin_reports import cell, of_notes, report, settings
from tests.families import tiny


def of_field(case: Case, _: Arrangement) -> Cell:
    return cell(case, 0.9, 0.1)


def of_nothing(case: Case, _: Arrangement) -> Cell:
    return cell(case, 0.1, 0.9, right=False)


@pytest.mark.parametrize(
    ("reader", "writer", "claim"),
    [
        (of_notes, of_notes, NOTES_BEFORE),
        (of_field, of_notes, FIELD_READ),
        (of_nothing, of_notes, TRAINED_IN),
        (of_nothing, of_nothing, None),
    ],
)
def test_the_outcome_is_the_one_that_was_written_before(reader: Any, writer: Any, claim: str | None) -> None:
    held = [line for line in report(reader, writer).tables if isinstance(line, Verdict)]
    late = [NOTE_AT_FIELD, COMPARED] if reader is not of_nothing else []  # one that cannot decide has none
    assert [line.claim for line in held] == [NOTES_BEFORE, FIELD_READ, TRAINED_IN, *late]
    # A reader to which a flipped trigger speaks from its own place says so of late prompts too.
    compared = [COMPARED] if reader is of_field else []
    assert [line.claim for line in held if line.holds] == ([] if claim is None else [claim]) + compared


def test_the_mechanism_of_a_reader_that_cannot_decide_is_not_stated() -> None:
    told = {"competence", "reader_accuracy", "writer_accuracy", "late_reader_accuracy"}
    writers = {"writer_field_only", "writer_notes_only"}  # this one passes the gate by itself
    assert set(report(of_nothing, of_notes).stated()) == told | writers
    stated = report(of_notes, of_nothing).stated()
    assert not writers & set(stated)
    assert stated["reader_notes_only"].value == pytest.approx(0.97)
    assert stated["reader_field_only"].value == pytest.approx(0.0)
    assert stated["seed_sd_notes_only"].value == pytest.approx(0.02)
    assert stated["writer_accuracy"].value == pytest.approx(0.5)


def failed(part: str) -> set[str]:
    """Controls that fail where one patch of readers ends a tenth of a logit beside where it must."""

    def beside(case: Case, one: Arrangement) -> Cell:
        made = of_notes(case, one)
        return replace(made, parts=made.parts | {part: made.parts[part] + 0.1})

    return {control.name for control in report(beside, of_notes).controls if not control.passed}


def test_a_crossed_patch_that_misses_fails_its_control() -> None:
    assert "full_patch_of_crossed" in failed("full_patch")
    assert "self_patch_of_crossed" in failed("self_patch")
    assert len(failed("full_patch")) == len(failed("self_patch")) == 1
    assert failed("notes_only") == set()


def test_headlines_are_those_of_the_mixed_curriculum_and_tables_have_all() -> None:
    def by_curriculum(case: Case, one: Arrangement) -> Cell:
        return cell(case, 0.0, {"early": 0.2, "late": 0.4, "mixed": 0.9}[str(one.curriculum)])

    made = report(by_curriculum, of_notes)
    assert made.stated()["reader_notes_only"].value == pytest.approx(0.9)
    lines = [line for line in made.tables if isinstance(line, Recovery)]
    mine = [line for line in lines if line.role == "reader" and line.arm == "notes_only"]
    pooled = {line.curriculum: line.value for line in mine if line.seed is None and line.changed == "field"}
    assert pooled == pytest.approx({"early": 0.2, "late": 0.4, "mixed": 0.9})
    assert sorted(line.seed for line in mine if line.seed is not None and line.curriculum == "late") == [
        *[0] * 4,
        *[1] * 4,
        *[2] * 4,
    ]
    halves = [line.value for line in lines if line.arm == "notes_only_K" and line.curriculum == "late"]
    assert halves == pytest.approx([0.2] * len(halves))
    loci = [line for line in made.tables if isinstance(line, Locus) and line.curriculum == "late"]
    assert [(line.changed, line.kind, line.positions_per_prompt) for line in loci] == [
        ("field", "newline", 3.0),
        ("trigger_late", "newline", 3.0),
    ]


def test_seeds_that_differ_widen_the_interval() -> None:
    def apart(case: Case, one: Arrangement) -> Cell:
        return cell(case, 0.0, 0.95 + 0.2 * (one.seed or 0))

    def width(reader: Any) -> float:
        found = report(reader, of_notes).stated()["reader_notes_only"]
        assert found.ci_low is not None
        assert found.ci_high is not None
        return found.ci_high - found.ci_low

    assert width(apart) > 5 * width(of_notes) > 0


def test_one_seed_has_no_spread() -> None:
    assert "seed_sd_notes_only" not in report(of_notes, of_notes, reader_seeds=1).stated()


def test_a_model_with_an_adapter_is_crossed_with_its_bare_self() -> None:
    chosen = OriginSettings.model_validate({"both_seeds": 1})
    names = [one.name for one in arrangements(chosen)]
    assert names[:4] == ["bare-bare", "bare-gate", "gate-bare", "gate-gate"]
    assert len(names) == len(set(names)) == 4 + 9 + 1 + 1
    assert [one.name for one in arrangements(settings())][:2] == ["bare-bare", "reader-early-0"]


def test_cells_of_both_kinds_of_pairs_are_there() -> None:
    cases = build_cases(settings(), tiny("llama").tokenizer)
    assert isinstance(cases, Cases)
    assert {case.changed for case in cases.field} == {"field"}
    assert {case.changed for case in cases.trigger} == {"trigger"}
    assert {case.changed for case in cases.field_late} == {"field"}
    assert all(c.clean.spans["field"] > c.clean.spans["trigger"] for c in cases.field_late)
    assert {case.changed for case in cases.trigger_late} == {"trigger"}
    for case in cases.trigger_late:
        assert case.clean.spans["field"] > case.clean.spans["trigger"]
        here, there = (
            [token for token, kind in zip(prompt.ids, prompt.kinds, strict=True) if kind == "field"]
            for prompt in (case.clean, case.corrupt)
        )
        assert here == there  # what the field says is the same: only what follows from it is not
        assert here
    late = build_cases(settings(layout="python_script_late"), tiny("llama").tokenizer)
    assert late.field_late == late.trigger_late == []


def test_the_config_says_the_defaults() -> None:
    assert compose("origin") == OriginSettings()


@pytest.mark.parametrize("key", ["stages", "prefill_stages"])
def test_chats_are_refused(key: str) -> None:
    stage = {"steps": 1, "lr": (0.1, 0.1), "chat": 1}
    with pytest.raises(PkvError, match="no chats are replayed"):
        checked(OriginSettings, {key: [stage]})


def test_an_arrangement_is_named_by_its_training_or_its_weights() -> None:
    assert Arrangement("crossover", "bare", "gate").name == "bare-gate"
    assert Arrangement("reader", "bare", "trained", "late", 2).name == "reader-late-2"


def test_the_gate_of_the_crossover_is_the_adapter_of_the_entry(tmp_path: Path) -> None:
    """A run whose entry has an adapter: the four cells differ, and a reader that was kept is that adapter."""
    small = {
        key: value
        for key, value in (one.split("=", 1) for one in runs.ORIGIN)
        if "stages" not in key
        and key not in ("model", "curricula", "families", "work_dir", "both_seeds", "reader_seeds")
    }
    numbers = {key: int(value) for key, value in small.items()}
    stages = [{"steps": 2, "lessons": "rules", "lr": (0.05, 0.05), "batch": 2}]
    schedules = {"stages": stages, "prefill_stages": stages}
    common = {**numbers, **schedules, "curricula": ("mixed",), "families": ("orders", "alerts")}
    common |= {"verify": "none"}
    first = find("origin").run(
        model="tiny-llama", work_dir=tmp_path / "work", results_dir=tmp_path / "a", reader_seeds=1, **common
    )
    (adapter,) = (tmp_path / "work").glob("*/reader-mixed-0/step-00002")
    assert not list((tmp_path / "work").glob("**/state.safetensors"))
    entry = first.config["model"] | {"adapter": str(adapter)}
    second = find("origin").run(
        model=entry, work_dir=None, results_dir=tmp_path / "b", reader_seeds=1, **common
    )
    (kept,) = load_records(tmp_path / "b")
    assert kept.key == second.key

    def margins(record: Any, name: str) -> list[float]:
        return [row.clean for row in record.rows if row.arm == f"{name}/field/notes_only"]

    cells = {name: margins(second, name) for name in ("bare-bare", "bare-gate", "gate-bare", "gate-gate")}
    assert cells["bare-bare"] == pytest.approx(margins(first, "bare-bare"), abs=1e-5)
    assert cells["bare-gate"] == pytest.approx(margins(first, "reader-mixed-0"), abs=1e-5)
    assert len({round(values[0], 4) for values in cells.values()}) == 4
    assert first_of(second, Verdict).claim == NOTES_BEFORE
    assert {line.role for line in rows_of(second, Accuracy)} == {"crossover", "reader", "writer"}
    assert torch.isfinite(torch.tensor(cells["gate-gate"])).all()
