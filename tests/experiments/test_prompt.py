"""One prompt patched everywhere: its record agrees with itself, and its controls can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.prompt import measure as measuring
from experiments.prompt.measure import ALL, Edits
from experiments.prompt.settings import PromptSettings
from pkv_interp.errors import PkvError
from pkv_interp.records import ControlFailure, RunRecord, load_records
from pkv_interp.run.settings import checked
from tests import runs

#: What the prompt's run measures, by part.
_WHOLE: dict[str, Any] = {}


@pytest.fixture(scope="module")
def results(small_results: Callable[[str], Path]) -> Path:
    return small_results("prompt")


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    (found,) = load_records(results)
    return found


def line(record: RunRecord, table: str, **wanted: Any) -> dict[str, Any]:
    (found,) = [one for one in record.tables[table] if all(one[k] == v for k, v in wanted.items())]
    return found


def test_its_parts_agree_with_one_another(record: RunRecord) -> None:
    tokens: list[Any] = record.tables["tokens"]
    first = max(one["position"] for one in tokens if one["changed"]) + 1
    notes = len(tokens) - 1 - first
    single = line(record, "single_positions", part="KV")["recovery"]
    assert [one["recovery"] for one in tokens[first:-1]] == pytest.approx(single)
    pairs = line(record, "pairs_of_positions")["recovery"]
    assert len(single) == notes
    assert len(pairs) == len(list(combinations(range(notes), 2)))
    cells: list[Any] = record.tables["cells"]
    assert {len(one["recovery"]) for one in cells} == {notes}
    everything = line(record, "groups", group=ALL, part="KV")
    assert everything["positions"] == list(range(first, first + notes))
    edits = {one["method"]: one for one in record.tables["edits"]}
    assert edits["stale"]["recovery"] == pytest.approx(0.0, abs=1e-3)
    assert edits["full_reprefill"]["recovery"] == pytest.approx(1.0, abs=1e-3)
    assert edits["full_reprefill"]["share"] == 1.0
    assert (edits["stale"]["tokens"], edits["full_reprefill"]["kl"]) == (0, pytest.approx(0.0, abs=1e-6))


def test_a_prompt_of_random_weights_claims_nothing(record: RunRecord) -> None:
    assert set(record.headline) == {"competence"}
    assert {control.name for control in record.controls} >= {
        "positions_agree",
        "groups_equal_states",
        "edits_meet_patches",
    }


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"family": "ordres"}, "ordres"),
        ({"layout": "python_script_late"}, None),
        ({"methods": ["stale", "erratum"]}, "lack full_reprefill"),
    ],
)
def test_settings_are_checked_before_a_model_loads(settings: dict[str, Any], cause: str | None) -> None:
    if cause is None:  # a layout that can be swapped has the field before the rule here
        assert checked(PromptSettings, settings).laid_out.swaps
        return
    with pytest.raises(PkvError, match=cause):
        checked(PromptSettings, settings)


def failed(broken: str, folder: Path) -> set[str]:
    """Controls that fail in a run in which one thing is broken; what is whole is measured once for all."""
    patch, edit = measuring.patch_everything, measuring.edit_everyhow

    def patched(*given: Any) -> Any:
        found = _WHOLE["patches"] = _WHOLE.get("patches") or patch(*given)
        moved = {"KV": found.groups[ALL]["KV"] + 1.0}
        groups = {**found.groups, ALL: found.groups[ALL] | moved}
        return replace(found, groups=groups) if broken == "groups_equal_states" else found

    def edited(*given: Any) -> Edits:
        found = _WHOLE["edits"] = _WHOLE.get("edits") or edit(*given)
        if broken == "positions_agree":
            return replace(found, aligned=False)
        if broken == "edits_meet_patches":
            return replace(found, lines=[replace(one, margin=one.margin + 1.0) for one in found.lines])
        return found

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(measuring, "patch_everything", patched)
        monkeypatch.setattr(measuring, "edit_everyhow", edited)
        with pytest.raises((ControlFailure, SystemExit)):
            runs.inside("prompt", *runs.ARGUMENTS["prompt"], "verify=none", f"results_dir={folder}")
    (record,) = load_records(folder, status="error")
    found = {one.name for one in record.controls if not one.passed}
    assert len(found) == 1, found
    return found


def test_each_control_fails_where_it_should_and_no_other_does(tmp_path: Path) -> None:
    assert failed("positions_agree", tmp_path / "a") == {"positions_agree"}
    assert "groups_equal_states" in failed("groups_equal_states", tmp_path / "b")
    assert "edits_meet_patches" in failed("edits_meet_patches", tmp_path / "c")


def test_groups_are_of_the_notes_alone(record: RunRecord) -> None:
    every: list[Any] = record.tables["groups"]
    notes = set(line(record, "groups", group=ALL, part="KV")["positions"])
    assert all(set(one["positions"]) <= notes for one in every)
    assert np.isfinite([one["recovery"] for one in every]).all()
