"""Rooms on pairs that a model is right on, on both sides: a tiny model, right where it is told to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.anatomy.cases import candidates as reworded_candidates
from experiments.anatomy.settings import AnatomySettings
from experiments.blast_radius.cases import candidates as blast_candidates
from experiments.blast_radius.settings import BlastRadiusSettings
from experiments.circuit.cases import candidates as polarity_candidates
from experiments.circuit.settings import CircuitSettings
from experiments.controls.cases import build_quads, cases_of
from experiments.controls.settings import ControlsSettings
from experiments.patching.cases import candidates as patching_candidates
from experiments.patching.settings import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.records import RunRecord
from pkv_interp.records.archive import archive_path, read
from pkv_interp.run.settings import checked
from pkv_interp.tasks import Case
from tests.run.taught import taught

#: Whether the model is right on the candidates of each family: b on both sides, c and d on one, w on none.
PATTERN = {"orders": "cbb", "support": "wdc", "documents": "dcb", "alerts": "bwb"}
FAMILIES = {"discovery": ["orders", "support"], "held_out": ["documents", "alerts"]}
SMALL: dict[str, Any] = {
    "screen": "both_sides",
    "candidates": 3,
    "instances": 1,
    "n_fillers": 1,
    "top_k": [1, 4],
    "random_draws": 2,
    "bootstrap_draws": 100,
    "verify": "none",
    "threads": 1,
}
CIRCUIT = SMALL | {"write_sweeps": 2, "shares": [0.0, 0.5, 1.0]}
TOKENIZER = tiny_tokenizer("llama")


def patching_sizes() -> dict[str, Any]:
    """The smallest sizes that go through every part of patching but chains."""
    small = {name: value for name, value in SMALL.items() if name != "n_fillers"}
    return small | {
        "families": ["orders", "documents"],
        "n_fillers": 0,
        "shares": [1.0],
        "knockout_shares": [1.0],
        "knockout_draws": 1,
        "fillers": [0],
        "rules": [1],
        "cot": False,
    }


def told(cases: list[Case], pattern: dict[str, str] = PATTERN) -> list[tuple[Case, bool, bool]]:
    """Each case with the sides on which the model is to be right."""
    at = {family: iter(sides) for family, sides in pattern.items()}
    return [(case, side in "bc", side in "bd") for case in cases for side in [next(at[case.family])]]


def chosen(cases: list[Case], number: int = 1) -> list[str]:
    """The instances that a screen keeps: the first that are right on both sides."""
    right = [case for case, clean, corrupt in told(cases) if clean and corrupt]
    return [
        case.instance
        for family in PATTERN
        for case in [case for case in right if case.family == family][:number]
    ]


def screen_lines(record: RunRecord) -> list[tuple[Any, ...]]:
    return [tuple(line.values()) for line in record.tables["screen"]]


SCREENED = [
    ("orders", "discovery", 3, 2, 0, 1),
    ("support", "discovery", 3, 0, 1, 0),
    ("documents", "held_out", 3, 1, 0, 1),
    ("alerts", "held_out", 3, 2, 1, 1),
]


def test_circuit_ranks_and_scores_on_right_pairs_and_tells_competence_on_all(tmp_path: Path) -> None:
    settings = checked(CircuitSettings, {**CIRCUIT, **FAMILIES})
    discovery, held_out = polarity_candidates(settings, TOKENIZER)
    tried = [*discovery, *held_out]
    assert len(tried) == 12
    model = taught(tmp_path / "model", told(tried))
    experiment = find("circuit")
    record = experiment.run(model=model, results_dir=tmp_path / "results", **CIRCUIT, **FAMILIES)
    assert screen_lines(record) == SCREENED
    assert record.path is not None
    found: Any = read(archive_path(record.path), experiment.measured).measured
    assert [case.instance for case in found.cases.all] == chosen(tried)
    assert found.cases.discovery == found.cases.sweep
    assert found.cases.held_out == found.cases.writing
    # Competence: of 12 pairs, 5 are right on both sides and 5 on one.
    assert record.competence is not None
    assert record.competence.accuracy.value == pytest.approx((2 * 5 + 5) / 24)
    assert record.competence.accuracy.n_families == 4
    assert record.competence.screen is not None
    assert (record.competence.screen.right, record.competence.screen.used) == (3, 2)
    assert not record.competence.passed  # two families are no sample
    assert set(record.headline) == {"competence"}
    screened = [row for row in record.rows if row.arm == "screened"]
    assert [row.instance for row in screened] == [case.instance for case in tried]
    assert [row.instance for row in screened if row.extra["used"]] == chosen(tried)
    assert {row.instance for row in record.rows if row.arm != "screened"} == set(chosen(tried))
    assert (
        experiment.run(model=model, results_dir=tmp_path / "results", **CIRCUIT, **FAMILIES).path
        == record.path
    )


def test_anatomy_takes_right_pairs_with_their_reworded_twins(tmp_path: Path) -> None:
    settings = checked(AnatomySettings, {**SMALL, **FAMILIES})
    discovery, held_out = reworded_candidates(settings, TOKENIZER)
    tried = [one.case for one in [*discovery, *held_out]]
    model = taught(tmp_path / "model", told(tried))
    record = find("anatomy").run(model=model, results_dir=tmp_path / "results", **SMALL, **FAMILIES)
    assert screen_lines(record) == SCREENED
    assert {row.instance for row in record.rows if row.arm != "screened"} == set(chosen(tried)[1:])


def test_patching_scores_only_wordings_that_were_ranked(tmp_path: Path) -> None:
    sizes = patching_sizes()
    settings = checked(PatchingSettings, sizes)
    tried = patching_candidates(settings, TOKENIZER)
    # Wordings go round, the j-th of both sides has the same. Orders ranks on its third and documents on its
    # first: of the right ones that could score, only those are used.
    ranked = told(tried.discovery, {"orders": "cdb", "documents": "bww"})
    scored = told(tried.held_out, {"orders": "bwb", "documents": "bbb"})
    model = taught(tmp_path / "model", [*ranked, *scored])
    experiment = find("patching")
    record = experiment.run(model=model, results_dir=tmp_path / "results", **sizes)
    assert screen_lines(record) == [
        ("orders", "discovery", 3, 1, 0, 1),
        ("documents", "discovery", 3, 1, 2, 1),
        ("orders", "held_out", 3, 2, 1, 1),
        ("documents", "held_out", 3, 3, 0, 1),
    ]
    assert record.path is not None
    cases = read(archive_path(record.path), experiment.measured).measured.cases
    assert [case.instance for case in cases.discovery] == [tried.discovery[i].instance for i in (2, 3)]
    assert [case.instance for case in cases.held_out] == [tried.held_out[i].instance for i in (2, 3)]
    assert cases.grid == cases.dosed == cases.held_out


def test_patching_without_a_screen_builds_no_more_than_it_uses() -> None:
    sizes = patching_sizes() | {"screen": "none"}
    tried = patching_candidates(checked(PatchingSettings, sizes), TOKENIZER)
    assert [case.instance.split("-")[1] for case in tried.discovery] == ["0", "0"]
    assert [case.instance.split("-")[1] for case in tried.held_out] == ["1", "1"]


def test_blast_radius_takes_instances_whose_deciding_flip_is_right(tmp_path: Path) -> None:
    sizes = {
        **{name: SMALL[name] for name in ("screen", "candidates", "bootstrap_draws", "verify", "threads")},
        "families": ["documents", "alerts"],
        "fillers": [0, 1],
        "effect_fillers": [0],
        "random_draws": 1,
        "guide_sizes": [1],
    }
    tried = blast_candidates(checked(BlastRadiusSettings, sizes), TOKENIZER)
    assert len({one.deciding.clean.text for one in tried}) == 6
    model = taught(tmp_path / "model", told([one.deciding for one in tried]))
    record = find("blast_radius").run(model=model, results_dir=tmp_path / "results", **sizes)
    assert screen_lines(record) == SCREENED[2:]
    used = {row.instance for row in record.rows if row.arm != "screened"}
    assert used == set(chosen([one.deciding for one in tried]))
    kinds = {row.arm for row in record.rows if row.arm.count("/") == 2}
    assert len(kinds) == 3 * 2 * 2  # every class, flip and length of the instances that are used


def test_a_quad_is_right_where_all_four_prompts_are_and_a_family_needs_two() -> None:
    settings = checked(ControlsSettings, {"screen": "both_sides", "candidates": 3, **FAMILIES})
    discovery, held_out = build_quads(settings, TOKENIZER)
    assert [len(side) for side in (discovery, held_out)] == [6, 6]
    assert not any("twin" in vars(both) for both in discovery)  # drawn for those that are used
    used = cases_of(settings, discovery[:2], held_out[1:3], TOKENIZER)
    assert used.edited == [held_out[1].quad]
    assert all("twin" in vars(both) for both in (*discovery[:2], *held_out[1:3]))
    assert not any("twin" in vars(both) for both in (*discovery[2:], held_out[0]))


def test_a_model_that_is_right_on_too_few_pairs_ends_the_run_in_one_line(tmp_path: Path) -> None:
    few = PATTERN | {"alerts": "cdw"}
    settings = checked(CircuitSettings, {**CIRCUIT, **FAMILIES})
    discovery, held_out = polarity_candidates(settings, TOKENIZER)
    model = taught(tmp_path / "model", told([*discovery, *held_out], few))
    with pytest.raises(PkvError, match="right on both sides of 1 of 6 pairs, and 1 of 2 families"):
        find("circuit").run(model=model, results_dir=tmp_path / "results", **CIRCUIT, **FAMILIES)
