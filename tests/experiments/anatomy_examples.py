"""What tests of the anatomy experiment share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments import find
from experiments.anatomy.measure import Measured
from experiments.anatomy.settings import AnatomySettings
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.records import load_records
from pkv_interp.records.archive import archive_path, read
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.settings import checked

SETTINGS = AnatomySettings(
    model=load_catalogue_entry("tiny-llama"), random_draws=2, top_k=(1, 4), bootstrap_draws=100
)
CONTROLS = {
    "keys_and_values_make_both",
    "own_keys",
    "same_donor",
    "field_cut_off",
    "own_attention",
    "outputs_are_weights_times_values",
}


def small_run(results: Path) -> tuple[Measured, Scoring[Any]]:
    """What the small run measured, scored as if the weights were trained and the gate passed."""
    (record,) = load_records(results)
    assert record.path is not None
    found = read(archive_path(record.path), find("anatomy").measured)
    settings = checked(AnatomySettings, record.config).model_copy(update={"competence_threshold": 0.0})
    head = replace(found.head, model={**found.head.model, "random_weights": False})
    return found.measured, Scoring(settings, head)


def headlines(measured: Measured, scoring: Scoring[Any]) -> dict[str, float]:
    stated = find("anatomy").summarise(measured, scoring).stated()
    return {name: figure.value for name, figure in stated.items()}


def failed(measured: Measured, scoring: Scoring[Any]) -> set[str]:
    report = find("anatomy").summarise(measured, scoring)
    assert {control.name for control in report.controls} == CONTROLS
    return {control.name for control in report.controls if not control.passed}
