"""Weight edits beside cache edits, on every tiny family that has a plain MLP."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments.weight_edits.arms import CACHE, ArmResult, RecordArms
from experiments.weight_edits.cases import FirstDraws, RecordName, RecordSource
from experiments.weight_edits.choosing import ArmSetup, FactTrials, LayerTrial, LayerTrials, Setup
from experiments.weight_edits.editor import ROME, WEIGHTS
from experiments.weight_edits.experiment import EXPERIMENT
from experiments.weight_edits.measure import Measured, measure
from experiments.weight_edits.settings import WeightEditsSettings
from experiments.weight_edits.summary import SHARES, summarise
from pkv_interp.errors import PkvError
from pkv_interp.measure.competence import Decision
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import RunRecord, RunStore, load_records
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.records.tables import by_table
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.session import Session
from pkv_interp.run.stage import Stage
from tests import runs
from tests.experiments.configs import compose
from tests.families import FAMILIES, tiny


def settings_of(*overrides: str) -> WeightEditsSettings:
    made = compose("weight_edits", *runs.WEIGHT_EDITS, *overrides)
    assert isinstance(made, WeightEditsSettings)
    return made


def run_small(loaded: LoadedModel, results: Path) -> tuple[Measured, Report]:
    """Measure on a model that is loaded already, and summarise."""
    settings = settings_of().model_copy(update={"model": loaded.config})
    run = RunStore(results).open(EXPERIMENT.asked(settings), EXPERIMENT.keys(settings))
    session = Session(settings.measuring(), run)
    session.__dict__["loaded"] = loaded
    found = measure(session)
    head = Head(
        loaded.info.model_dump(mode="json"),
        tuple(run.controls),
        session.noise_floor,
        environment(device="cpu", dtype="float32", attention="eager"),
    )
    return found, summarise(found, Scoring(settings, head))


@pytest.fixture(scope="module")
def record(weight_edits_results: Path) -> RunRecord:
    (found,) = load_records(weight_edits_results)
    return found


def test_the_record_is_valid_and_says_that_edits_were_taken_away(
    weight_edits_results: Path, record: RunRecord
) -> None:
    assert records_command(["check", str(weight_edits_results)]) == 0
    (control,) = record.controls
    assert (control.name, control.value) == ("edits_are_taken_away", 0.0)
    assert set(record.headline) == {"competence"}  # random weights claim nothing
    by_edits: dict[str, set[str]] = {}
    for line in record.tables["weight_edit"]:
        by_edits.setdefault(str(line["edits"]), set()).add(str(line["method"]))
    assert by_edits == {"cache": set(CACHE), "weights": set(WEIGHTS)}


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "gpt-oss"])
def test_every_method_is_measured_on_every_record_and_the_model_is_left_alone(
    family: str, tmp_path: Path
) -> None:
    loaded = tiny(family)
    before = {name: t.clone() for name, t in loaded.model.state_dict().items()}
    found, report = run_small(loaded, tmp_path)
    tables = by_table(report.tables)
    assert [line["method"] for line in tables["weight_edit"]] == [*CACHE, *WEIGHTS]
    for line in tables["weight_edit"]:
        assert (line["n_families"], line["n_instances"]) == (2, 2)
        for share in SHARES:
            assert 0.0 <= line[f"{share}_ci_low"] <= line[share] <= line[f"{share}_ci_high"] <= 1.0
        assert line["latency_ms"] > 0.0
        if line["edits"] == "cache":
            assert (line["contamination"], line["collateral"]) == (0.0, 0.0)
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    assert {row.family for row in report.rows if row.arm != "unedited"} == {"alerts", "posts"}
    assert len([row for row in report.rows if row.arm == "unedited"]) == 8  # two records of each family
    for arm in ROME:
        assert sum(line["chosen"] for line in tables["weight_layers"] if line["arm"] == arm) == 1
        assert found.layers.best[arm] == found.setup.arms[arm].layer
    (setup,) = tables["weight_setup"]
    assert setup["competent"] is False  # random weights, whatever they happen to decide
    assert setup["covariance_width"] == loaded.model.config.intermediate_size
    assert setup["rome_record_condition"] <= 1e4 * 1.001


def test_a_mixture_of_experts_and_quantised_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="no plain linear down projection"):
        run_small(tiny("gpt-oss"), tmp_path / "a")
    loaded = tiny("llama")
    info = loaded.info.model_copy(update={"quantised_in_memory": True, "quantised": "nf4"})
    held = dataclasses.replace(loaded, info=info)
    with pytest.raises(PkvError, match="weight editing reads weights, and tiny-llama holds them as nf4"):
        run_small(held, tmp_path / "b")


def test_competence_is_of_first_draws_on_both_values() -> None:
    loaded = tiny("llama")
    source = RecordSource.of(settings_of(), loaded)
    decided = source.first_draws(2).decisions
    assert [d.family for d in decided] == list(np.repeat(["orders", "support", "alerts", "posts"], 4))
    assert len({d.instance for d in decided}) == 8
    for one, other in zip(decided[::2], decided[1::2], strict=True):
        assert one.instance == other.instance
        assert one.gold_is_match != other.gold_is_match
        assert one.right == (one.margin > 0.0)


@pytest.mark.parametrize("argument", ["depths=[0.5,0.1]", "depths=[1.5]", "depths=[]", "records=0"])
def test_settings_are_checked(argument: str) -> None:
    kept = [a for a in runs.WEIGHT_EDITS if a.split("=")[0] != argument.split("=")[0]]
    with pytest.raises(PkvError, match=f"config key '{argument.split('=')[0]}"):
        compose("weight_edits", *kept, argument)


def _arm(success: bool, contamination: float) -> ArmResult:
    return ArmResult(1.0 if success else -1.0, success, success, contamination, 0.0, 5.0, 3, 0.0)


@pytest.mark.parametrize("right", [True, False])
def test_shares_are_of_records_and_are_stated_where_the_model_is_competent(right: bool) -> None:
    families = ("alerts", "posts")
    records = [RecordName(family, f"{family}-0") for family in families]
    decided = [
        Decision(family, f"{family}-0", match, 1.0 if right else -1.0, right, right)
        for family in families
        for match in (True, False)
    ]
    arms = {
        record.instance: RecordArms({"field_only": _arm(i == 0, 0.0), "rome_record": _arm(True, 0.5 * i)})
        for i, record in enumerate(records)
    }
    found = Measured(
        FirstDraws(decided),
        FactTrials([]),
        LayerTrials([LayerTrial(arm, 2, 1.0, 1.0, 1, True) for arm in ROME]),
        Setup({arm: ArmSetup(2, 500, 64, 1e4, None) for arm in ROME}),
        records,
        n_drawn=3,
        decided=True,
        arms=Stage(arms),
        splits=dict.fromkeys(families, "held_out"),
    )
    head = Head(
        {"dtype": "float32", "random_weights": False},
        (),
        {},
        environment(device="cpu", dtype="float32", attention="eager"),
    )
    report = summarise(found, Scoring(settings_of(), head))
    stated = report.stated()
    if not right:
        assert set(stated) == {"competence"}
        return
    assert (stated["success_field_only"].value, stated["success_rome_record"].value) == (0.5, 1.0)
    assert (stated["contamination_field_only"].value, stated["contamination_rome_record"].value) == (
        0.0,
        0.25,
    )
    assert stated["latency_ms_rome_record"].value == 5.0
    by_method = {line["method"]: line for line in by_table(report.tables)["weight_edit"]}
    assert (by_method["field_only"]["layer"], by_method["rome_record"]["layer"]) == (None, 2)
    (setup,) = by_table(report.tables)["weight_setup"]
    assert (setup["competent"], setup["n_records"], setup["n_left_out"]) == (True, 2, 1)
