"""The controls experiment through its real command line."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest
import safetensors.numpy

from experiments.controls.experiment import EXPERIMENT
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records, published
from pkv_interp.records.__main__ import main as records_command
from tests.experiments.configs import compose
from tests.experiments.controls_examples import HEADLINES, SMALL, UNPUBLISHED, lines


@pytest.fixture(scope="module")
def results(controls_results: Path) -> Path:
    return controls_results


@pytest.fixture(scope="module")
def record(results: Path) -> RunRecord:
    (found,) = load_records(results)
    return found


def test_the_record_is_valid_and_its_controls_have_passed(results: Path, record: RunRecord) -> None:
    assert records_command(["check", str(results)]) == 0
    controls = {control.name: control.value for control in record.controls}
    assert controls["trigger_and_notes"] == pytest.approx(0.0, abs=1e-3)
    assert controls["zero_edit"] == pytest.approx(0.0, abs=1e-3)
    assert {"self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"} <= set(controls)
    assert {"margin", "self_patch", "same_conclusion_trigger_all", "same_conclusion_field_all"} <= set(
        record.noise_floor
    )
    assert not (results / ".partial").exists()


def test_random_weights_fail_the_gate_and_claim_nothing(record: RunRecord) -> None:
    assert record.competence is not None
    assert not record.competence.passed
    assert set(record.headline) == {"competence"}


def test_sites_are_chosen_and_scored_on_other_families(record: RunRecord) -> None:
    split = {row.arm: {r.family for r in record.rows if r.arm == row.arm} for row in record.rows}
    assert split["notes_only"] == {"orders", "support", "documents", "alerts"}
    for arm in ("top8", "random8", "injection_to_clean", "direction", "sae_top1_clamp", "scrub_note_clean"):
        assert split[arm] == {"documents", "alerts"}
    assert sum(line["chosen"] for line in lines(record, "edit_layers")) == 1


def test_tables_follow_from_the_settings(record: RunRecord) -> None:
    assert [line["k"] for line in lines(record, "specificity", arm="top")] == [1, 4, 8]
    field_notes = lines(record, "injection", donor="field")
    assert [line["positions"] for line in field_notes] == ["all notes", "top1", "top4", "top8"]
    assert {line["pair"] for line in field_notes} == {"field"}
    for pair in ("polarity", "field"):
        put_in = [line["positions"] for line in lines(record, "injection", donor="conclusion", pair=pair)]
        assert put_in == ["aggregators", "random", "single labels", "all notes"]
    assert len(lines(record, "scrubbing")) == 9
    assert len(lines(record, "templates")) == 9
    assert len(lines(record, "aggregators")) == 8
    for where in ("strongest", "all"):
        out = lines(record, "sae_clamps", edit="out of clean", where=where)
        assert [line["arm"] for line in out] == ["full", "top1", "top3"]
        (coder,) = lines(record, "sae", where=where)
        assert coder["replayed"] == 200
    arms = {line["arm"] for line in lines(record, "directions", edit="into corrupt")}
    assert arms == {"nothing", "full", "along", "across", "along_probe", "add", "add_probe", "add_random"}
    assert all(0 <= line["p_holm"] <= 1 for line in lines(record, "equivalence"))
    for table in ("aggregators", "probes"):
        assert all(0 < line["p_adjusted"] <= 1 for line in lines(record, table))


def test_mechanism_figures_stand_again_over_right_pairs(record: RunRecord) -> None:
    told = {line["headline"] for line in lines(record, "right_pairs")}
    assert told >= {"trigger_only", "injection", "injection_field_notes", "top8", "scrub_note", "direction"}
    assert told <= HEADLINES - {"competence"}


def test_identities_hold_in_the_tables(record: RunRecord) -> None:
    (last,) = lines(record, "lens")[-1:]
    assert (last["depth"], last["agrees"]) == (1.0, 1.0)
    assert lines(record, "probes")[-1]["depth"] == 1.0
    (nothing,) = lines(record, "directions", arm="nothing")
    assert nothing["value"] == pytest.approx(0.0, abs=1e-3)
    for line in lines(record, "templates", arm="full_patch"):
        assert line["value"] == pytest.approx(1.0, abs=1e-3)


def test_a_summary_of_the_stored_measurements_is_the_record(record: RunRecord, tmp_path: Path) -> None:
    assert record.path is not None
    copy = shutil.copytree(record.path.parent, tmp_path / "controls")
    again = EXPERIMENT.summarise_again(copy / record.path.name)
    for part in ("headline", "rows", "tables", "controls", "competence", "noise_floor", "keys"):
        assert getattr(again, part) == getattr(record, part)


def test_residual_streams_are_not_kept(record: RunRecord) -> None:
    assert record.path is not None
    with zipfile.ZipFile(record.path.with_name(record.path.stem + ".measurements.zip")) as stored:
        arrays = safetensors.numpy.load(stored.read("arrays.safetensors"))
    # Streams have five axes and samples of the sparse coder are many; the summary keeps neither.
    assert max(array.ndim for array in arrays.values()) == 2
    assert sum(array.nbytes for array in arrays.values()) < 20_000


def overridden(argument: str) -> list[str]:
    return [*[a for a in SMALL if a.split("=")[0] != argument.split("=")[0]], argument]


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("held_out=[orders,alerts]", "'orders' is of the other split"),
        ("discovery=[orders]", "at least two families"),
        ("discovery=[orders,nobody]", "unknown scenario family 'nobody'"),
        ("top_k=[4,1]", "in rising order"),
        ("sae_top=[]", "at least one"),
        ("edit_layers=[0.0,1.0]", "greater than 0"),
        ("instances=1", "greater than or equal to 2"),
    ],
)
def test_settings_are_checked(argument: str, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        compose("controls", *overridden(argument))


def test_published_figures_of_this_experiment_are_whole() -> None:
    frame = published(experiment="controls")
    assert frame["id"].is_unique
    # What was published of two hops is kept; here they are in no headline.
    assert set(frame["headline"]) == HEADLINES - UNPUBLISHED | {"multi_hop_field_only"}
    top = published("top8", experiment="controls")
    assert top.loc[top["id"] == "DC0016", "value"].tolist() == [0.78]
    interval = frame.dropna(subset=["ci_low", "ci_high"])
    for low, value, high in interval[["ci_low", "value", "ci_high"]].to_numpy().tolist():
        assert low - 5e-4 <= value <= high + 5e-4
