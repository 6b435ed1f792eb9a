"""Every experiment runs, and its controls pass, on tiny architectures: windows, sinks, softcaps.

``make every`` tries each experiment on each of them (``PKV_EVERY`` in the environment), as the weekly check
of newer packages does. The suite tries the one that is held against TransformerLens on each, every other on
two besides the first, and each architecture under several: parts that know an architecture have tests of
their own on all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pkv_interp.records import load_records
from tests import families, runs
from tests.experiments import controls_examples

#: The smallest sizes that still go through every part.
SMALLEST = {
    "circuit": (*runs.SMALL, "discovery=[orders]", "held_out=[documents]", "write_sweeps=1", "top_k=[1,2]"),
    "patching": (*runs.PATCHING, "families=[orders,alerts]", "fillers=[0]", "rules=[1]", "grid_cases=1"),
    "anatomy": (*runs.ANATOMY, "discovery=[orders]", "held_out=[documents]", "top_k=[1]", "random_draws=1"),
    "blast_radius": (*runs.BLAST, "families=[orders,alerts]", "fillers=[0]"),
    "composing": (
        *runs.COMPOSING,
        "families=[orders,alerts]",
        "conditions=[rule,rule_after_field,all]",
        "skills=[2]",
        "distance_fillers=[1]",
        "chunk_fillers=[0]",
    ),
    "keystone": (*runs.KEYSTONE, "families=[orders,alerts]"),
    "confirm": runs.CONFIRM,
    "editing": (
        *runs.EDITING,
        "methods=[stale,field_only,recompute@4,erratum,auto,full_reprefill]",
        "top_k=[1]",
        "turns=2",
        "horizon_cases=1",
        "traced_cases=1",
        "read_heads=1",
        "cot_tokens=2",
    ),
    "controls": (*controls_examples.SMALL, "edit_layers=[1.0]", "top_k=[1]", "probe_layers=2", "sae_steps=5"),
}
ENGINE = {"self_patch", "full_patch", "batched_equals_single", "packed_equals_sequential"}
SPLICES = {"splice_at_own_position", "extend_equals_prefill"}
#: Controls that each of them has.
CONTROLS = {
    **dict.fromkeys(("circuit", "patching", "blast_radius", "controls"), ENGINE),
    "anatomy": ENGINE | {"keys_and_values_make_both", "same_donor", "field_cut_off", "own_attention"},
    "composing": SPLICES | {"there_and_back", "whole_chunk_recomputed"},
    "keystone": SPLICES,
    "confirm": ENGINE | SPLICES | {"positions_agree", "prefix_cache_equals_full", "stale_refused"},
    "editing": ENGINE | {"suffix_recompute_equals_full", "trace_equals_api", "erratum_is_a_prefill"},
}

#: The experiment that is held against TransformerLens on every family.
VERIFIED = "circuit"
#: The small run of every experiment is on this one.
FIRST, *OTHERS = families.FAMILIES
#: Further families of each experiment; one of the two at least has windows.
CHOSEN = {
    VERIFIED: tuple(OTHERS),
    "patching": ("gemma2", "phi3"),
    "anatomy": ("gemma3", "gpt-oss"),
    "blast_radius": ("mistral", "qwen3"),
    "composing": ("gemma3", "gpt-oss"),
    "keystone": ("mistral", "phi3"),
    "confirm": ("gemma2", "qwen3"),
    "editing": ("gpt-oss", "mistral"),
    "controls": ("gemma2", "phi3"),
}
TRIED = dict.fromkeys(SMALLEST, tuple(OTHERS)) if "PKV_EVERY" in os.environ else CHOSEN


def test_each_is_tried_on_several_families_and_each_family_by_several() -> None:
    assert set(CHOSEN) == set(SMALLEST)
    for experiment, chosen in CHOSEN.items():
        assert len(chosen) >= 2, experiment
        assert set(chosen) & set(families.SLIDING_FAMILIES), experiment
    for family in OTHERS:
        assert sum(family in chosen for chosen in CHOSEN.values()) >= 3, family


@pytest.mark.parametrize("experiment", SMALLEST)
def test_its_controls_pass_on_the_first_family(experiment: str, small_results: Callable[[str], Path]) -> None:
    (record,) = load_records(small_results(experiment))
    assert (record.model_name, record.status) == (f"tiny-{FIRST}", "success")
    assert {control.name for control in record.controls} >= CONTROLS[experiment]
    assert all(control.passed for control in record.controls)


@pytest.mark.parametrize(
    ("experiment", "family"), [(name, family) for name, chosen in TRIED.items() for family in chosen]
)
def test_it_runs_and_its_controls_pass(
    experiment: str,
    family: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    # Every room asks the same of TransformerLens: once for each family is enough.
    twin = "verify=auto" if experiment == VERIFIED else "verify=none"
    given = (*SMALLEST[experiment], f"model=tiny-{family}", twin, f"results_dir={tmp_path}")
    runs.inside(experiment, *runs.last(*given))
    (record,) = load_records(tmp_path)
    assert (record.model_name, record.status) == (f"tiny-{family}", "success")
    assert {control.name for control in record.controls} >= CONTROLS[experiment]
    assert all(control.passed for control in record.controls)
    if experiment == VERIFIED and not any("not verified" in remark for remark in record.remarks):
        assert "engine_equals_bridge" in {control.name for control in record.controls}
    printed = " ".join("".join(capfd.readouterr()).split())
    assert f"controls: {len(record.controls)} passed; record: {record.path}" in printed
