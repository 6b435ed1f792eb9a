"""The confirmatory run through its real command line, and what it refuses before a model loads."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.confirm.cases import build_cases
from experiments.confirm.edits import EditScores
from experiments.confirm.experiment import EXPERIMENT
from experiments.confirm.found import Measured
from experiments.confirm.refusals import refuse, refuse_loaded
from experiments.confirm.settings import PREREGISTRATION, ConfirmSettings
from experiments.confirm.tables import NOT_APPLICABLE, ChosenLine, ClaimLine, FileLine
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.archive import archive_path, read
from pkv_interp.records.tables import first_of, rows_of
from pkv_interp.run.preregistration_file import load
from pkv_interp.run.settings import checked
from pkv_interp.tasks import default_scenarios
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

GIVEN = dict(argument.split("=", 1) for argument in runs.CONFIRM if not argument.startswith("threads"))
FILE, SCENARIOS = Path(GIVEN["preregistration"]), Path(GIVEN["scenarios"])


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("confirm"))
    return found


@pytest.fixture(scope="module")
def measured(record: RunRecord) -> Measured:
    assert record.path is not None
    return read(archive_path(record.path), Measured).measured


def written(folder: Path, **changes: Any) -> Path:
    """The file of the small run with entries changed, outside of any checkout."""
    place = folder / "claims.yaml"
    place.write_text(yaml.safe_dump(yaml.safe_load(FILE.read_text()) | changes))
    return place


def test_the_record_names_both_files_and_the_commit(record: RunRecord) -> None:
    told = first_of(record, FileLine)
    config: Any = record.config
    assert told.preregistration == config["preregistration"]["sha256"]
    assert told.scenarios == config["scenarios"]["sha256"]
    inside = told.commit is not None
    assert any(("commit" if inside else "no git checkout") in remark for remark in record.remarks)


def test_a_model_of_random_weights_has_no_claim(record: RunRecord) -> None:
    assert set(record.headline) == {"competence", "claims_passed", "claims_total"}
    assert {line.outcome for line in rows_of(record, ClaimLine)} == {NOT_APPLICABLE}
    assert len(rows_of(record, ChosenLine)) >= 3


def test_controls_of_every_part_were_made(record: RunRecord) -> None:
    names = {control.name for control in record.controls}
    assert names >= {
        *("self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"),
        *("full_downstream", "positions_agree", "suffix_recompute_equals_full", "erratum_is_a_prefill"),
        *("earlier_columns_kept", "splice_at_own_position", "extend_equals_prefill", "turned_keys"),
        *("prefix_cache_equals_full", "splice_in_place", "stale_refused", "current_accepted"),
    }


def test_only_families_to_be_confirmed_are_scored_in_layouts_with_the_field_first(measured: Measured) -> None:
    scores = measured.scores
    assert scores is not None
    parts: list[Any] = [
        scores.field,
        scores.polarity,
        scores.quads,
        scores.edits,
        scores.moved,
        scores.episodes,
    ]
    for part in (*parts, scores.moved_late):
        assert {one.about.family for one in part} == {"my_documents", "my_alerts", "my_customs"}
    assert {one.about.layout for one in scores.field} == {"plain", "lean"}
    assert {one.about.wording for one in scores.field} == {"when", "unless"}
    assert measured.preregistration == FILE.read_text()


def test_only_packaged_discovery_families_rank() -> None:
    settings = compose("confirm", *runs.CONFIRM)
    assert isinstance(settings, ConfirmSettings)
    cases = build_cases(settings, tiny("llama").tokenizer)
    discovery = {family.name for family in default_scenarios().split("discovery")}
    for ranking in (cases.ranking_polarity, cases.ranking_quads, cases.ranking_field):
        assert {one.family for one in ranking} == discovery
    scored = {one.family for one in (*cases.field, *cases.polarity, *cases.quads)}
    assert not scored & discovery
    for one in cases.moved:
        assert one.case.clean.spans["field"] < one.case.clean.spans["trigger"]
    for one in cases.moved_late:
        assert one.case.clean.spans["field"] > one.case.clean.spans["trigger"]


def test_edits_go_both_ways_and_their_labels_name_positions(measured: Measured) -> None:
    assert measured.scores is not None
    edits: list[EditScores] = measured.scores.edits
    assert {d.gold_is_match for one in edits for d in one.decisions[:1]} == {True, False}
    assert all(one.aligned for one in edits)


def test_the_end_of_a_context_may_be_tokenised_otherwise_and_nothing_before_it() -> None:
    settings = compose("confirm", *runs.CONFIRM)
    assert isinstance(settings, ConfirmSettings)
    (first, *_), tokenizer = build_cases(settings, tiny("llama").tokenizer).field, tiny("llama").tokenizer
    to, away = first.edits
    ids = first.case.corrupt.ids[: first.case.corrupt.spans["question"][0]]
    assert to.names(ids)
    assert not away.names(ids)  # its context is of the other side
    assert to.names((*ids[:-1], tokenizer.vocab_size - 1))
    assert not to.names((*ids[:-2], tokenizer.vocab_size - 1, ids[-1]))


@pytest.fixture
def _loads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))


@pytest.mark.usefixtures("_loads_nothing")
def test_the_packaged_draft_is_not_run(tmp_path: Path) -> None:
    draft = tmp_path / "claims.yaml"
    draft.write_text(PREREGISTRATION.read_text().replace("status: final", "status: draft", 1))
    with pytest.raises(PkvError, match="claims.yaml is a draft; set its status to final and commit it"):
        EXPERIMENT.run(**{**GIVEN, "preregistration": draft, "results_dir": tmp_path / "results"})
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("_loads_nothing")
@pytest.mark.parametrize(
    ("changes", "given", "cause"),
    [
        ({}, {"scenarios": None}, "no scenarios are named"),
        ({}, {"seed": 1}, "seed=1, and claims.yaml has 0"),
        ({"confirm_file_sha256": "0" * 64}, {}, "scenarios.yaml is not the file of scenarios"),
        ({}, {"model": "smollm2-135m-gate"}, "does not name the model 'smollm2-135m-gate'"),
        ({"models": None}, {}, "the weights of tiny-llama are not those that claims.yaml names"),
        ({"adapter": True}, {}, "the adapter of tiny-llama is not the one"),
    ],
)
def test_a_run_that_was_not_written_down_is_refused(
    changes: dict[str, Any], given: dict[str, Any], cause: str, tmp_path: Path
) -> None:
    models = yaml.safe_load(FILE.read_text())["models"]
    if "models" in changes:
        changes = {"models": models | {"tiny-llama": models["tiny-llama"] | {"weights": "0" * 64}}}
    if "adapter" in changes:
        changes = {"models": models | {"tiny-llama": models["tiny-llama"] | {"adapter_sha256": "0" * 64}}}
    place = written(tmp_path, **changes)
    with pytest.raises(PkvError, match=cause) as error:
        EXPERIMENT.run(**{**GIVEN, "preregistration": place, "results_dir": tmp_path / "r", **given})
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("_loads_nothing")
def test_a_file_with_uncommitted_changes_is_refused(tmp_path: Path) -> None:
    place = written(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    settings = checked(ConfirmSettings, {**GIVEN, "preregistration": place})
    with pytest.raises(PkvError, match="claims.yaml is in no commit"):
        refuse(settings)
    shutil.rmtree(tmp_path / ".git")
    refuse(settings)


def test_weights_in_memory_are_held_against_the_file() -> None:
    info = tiny("llama").info
    plan = load(FILE)
    refuse_loaded(info, plan)
    trained = info.model_copy(update={"random_weights": False})
    with pytest.raises(PkvError, match="tiny-llama as it was loaded is not the model"):
        refuse_loaded(trained, plan)  # only random weights may be left open
    adapted = info.model_copy(update={"adapter_sha256": "0" * 64})
    with pytest.raises(PkvError, match="tiny-llama as it was loaded is not the model"):
        refuse_loaded(adapted, plan)


@pytest.mark.parametrize("key", ["pairs", "draws", "read_heads", "bootstrap_draws", "competence_threshold"])
def test_sizes_cannot_be_set_from_python(key: str) -> None:
    with pytest.raises(PkvError, match=f"'{key}' "):
        checked(ConfirmSettings, {**GIVEN, key: 1})


@pytest.mark.parametrize("argument", ["quads=1", "draws=100", "layout=plain", "instances=1"])
def test_sizes_cannot_be_set_on_the_command_line(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        runs.inside("confirm", *runs.CONFIRM, argument)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"'{argument.split('=')[0]}'" in line


def test_a_wrong_file_is_refused_with_the_settings(tmp_path: Path) -> None:
    place = written(tmp_path, competence=2.0)
    with pytest.raises(PkvError, match="claims.yaml: 'competence'=2.0"):
        checked(ConfirmSettings, {"preregistration": place})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ("families", "has 1 families of the split 'confirm'"),
        ("layouts", "has no layout in words with the field before the rule"),
    ],
)
def test_scenarios_that_cannot_confirm_are_refused(change: str, cause: str, tmp_path: Path) -> None:
    data = yaml.safe_load(SCENARIOS.read_text())
    data[change] = data[change][:1] if change == "families" else data[change][-1:]
    place = tmp_path / "s.json"
    place.write_text(json.dumps(data))
    settings = checked(ConfirmSettings, {**GIVEN, "scenarios": place})
    with pytest.raises(PkvError, match=cause):
        build_cases(settings, tiny("llama").tokenizer)
