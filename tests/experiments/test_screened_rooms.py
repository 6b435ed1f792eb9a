"""Rooms on pairs that a model is right on, on both sides: a tiny model, right where it is told to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments import find
from experiments.anatomy.cases import candidates as reworded_candidates
from experiments.anatomy.settings import AnatomySettings
from experiments.blast_radius.cases import candidates as blast_candidates
from experiments.blast_radius.cases import turns_the_conclusion
from experiments.blast_radius.settings import BlastRadiusSettings
from experiments.circuit.cases import candidates as polarity_candidates
from experiments.circuit.settings import CircuitSettings
from experiments.controls.cases import build_quads, cases_of
from experiments.controls.settings import ControlsSettings
from experiments.docs.tables import headlines, table
from experiments.editing.cases import build_cases as scene_cases
from experiments.editing.cases import candidates as scene_candidates
from experiments.editing.cases import was_ranked
from experiments.editing.settings import EditingSettings
from experiments.figures.rooms import draw
from experiments.patching.cases import candidates as patching_candidates
from experiments.patching.settings import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import SceneSource
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.plots.tables import sample_of_split
from pkv_interp.records import RunRecord
from pkv_interp.records.archive import archive_path, read
from pkv_interp.run.settings import checked
from pkv_interp.tasks import Case
from pkv_interp.tasks.field_classes import CLASSES
from tests.experiments.test_own_data import pairs
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


def polarity_pairs() -> list[Case]:
    discovery, held_out = polarity_candidates(checked(CircuitSettings, {**CIRCUIT, **FAMILIES}), TOKENIZER)
    return [*discovery, *held_out]


@pytest.fixture(scope="module")
def screened(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Circuit on the taught model."""
    place = tmp_path_factory.mktemp("circuit")
    model = taught(place / "model", told(polarity_pairs()))
    return find("circuit").run(model=model, results_dir=place / "results", **CIRCUIT, **FAMILIES)


def test_circuit_ranks_and_scores_on_right_pairs_and_tells_competence_on_all(screened: RunRecord) -> None:
    tried = polarity_pairs()
    assert len(tried) == 12
    assert screen_lines(screened) == SCREENED
    assert screened.path is not None
    found: Any = read(archive_path(screened.path), find("circuit").measured).measured
    assert [case.instance for case in found.cases.all] == chosen(tried)
    assert found.cases.discovery == found.cases.sweep
    assert found.cases.held_out == found.cases.writing
    # Competence: of 12 pairs, 5 are right on both sides and 5 on one.
    gate = screened.competence
    assert gate is not None
    assert gate.screen is not None
    assert gate.accuracy.value == pytest.approx((2 * 5 + 5) / 24)
    assert gate.accuracy.n_families == 4
    assert (gate.screen.right, gate.screen.used) == (3, 2)
    assert not gate.passed  # two families are no sample
    assert set(screened.headline) == {"competence"}
    rows = [row for row in screened.rows if row.arm == "screened"]
    assert [row.instance for row in rows] == [case.instance for case in tried]
    assert [row.instance for row in rows if row.extra["used"]] == chosen(tried)
    assert {row.instance for row in screened.rows if row.arm != "screened"} == set(chosen(tried))


def test_figures_and_tables_say_on_which_pairs_they_are(screened: RunRecord) -> None:
    figure: Any = draw(screened, "read_curve")
    first, second = figure.layout.title.subtitle.text.split("<br>")
    assert first == "local-model · pairs right on both sides (3 of 6 tried, 2 used)"
    assert second.startswith("2 held-out families, 2 instances")
    assert "not competent" in figure.layout.title.text
    assert str(sample_of_split(screened, "held_out")) == "2 held-out families, 2 instances"
    says = "Mechanism figures are over pairs right on both sides (3 of 6 tried, 2 used)."
    assert headlines(screened, []).endswith(says)
    assert table(screened, ["read_curve", "arm", "k", "value+ci"]).endswith(says)
    assert says not in table(screened, ["screen", "family", "tried", "right"])


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


def test_blast_radius_screens_an_instance_by_its_deciding_flip_and_then_takes_all_its_prompts() -> None:
    sizes = {"screen": "both_sides", "candidates": 3, "families": ["documents", "alerts"], "fillers": [2, 0]}
    tried = blast_candidates(checked(BlastRadiusSettings, sizes | {"effect_fillers": [0]}), TOKENIZER)
    assert len({one.instance for one in tried}) == 6
    prompts = tried[1].make_prompts()
    assert [(one.field_class, one.n_fillers) for one in prompts] == [
        (name, length) for name in CLASSES for length in (2, 0)
    ]
    assert {flip.case.instance for one in prompts for flip in one.flips} == {tried[1].instance}
    (high,) = (
        flip for one in prompts if one.n_fillers == 0 for flip in one.flips if turns_the_conclusion(flip)
    )
    assert high.case == tried[1].deciding


def test_a_quad_is_right_where_all_four_prompts_are_and_a_family_needs_two() -> None:
    settings = checked(ControlsSettings, {"screen": "both_sides", "candidates": 3, **FAMILIES})
    discovery, held_out = build_quads(settings, TOKENIZER)
    assert [len(side) for side in (discovery, held_out)] == [6, 6]
    assert not any("twin" in vars(both) for both in discovery)  # drawn for those that are used
    used = cases_of(settings, discovery[:2], held_out[1:3], TOKENIZER)
    assert used.edited == [held_out[1].quad]
    assert all("twin" in vars(both) for both in (*discovery[:2], *held_out[1:3]))
    assert not any("twin" in vars(both) for both in (*discovery[2:], held_out[0]))


def test_scenes_are_screened_by_length_and_place_and_only_where_they_were_ranked() -> None:
    sizes = {
        "screen": "both_sides",
        "candidates": 2,
        "rank_instances": 1,
        "families": ["orders", "alerts", "posts"],
    }
    settings = checked(EditingSettings, sizes | {"fillers": [0, 1], "places": ["early"]})
    source = replace(SceneSource.of(settings, TOKENIZER), n_ranking=settings.tried(1))
    tried = scene_candidates(settings, source)
    assert len({scene.instance for scene in tried}) == 2 * 3 * 2
    assert all(scene.task.matches for scene in tried)
    ranking = source.ranking_cases(source.style(0), in_turn=True)
    assert [case.wording for case in ranking[::2]] != [case.wording for case in ranking[1::2]]
    assert not {case.instance for case in ranking} & {scene.task.instance for scene in tried}
    # Orders is ranked on its second wording, posts not at all; used are what fits, one a length and family.
    before = {"discovery": [ranking[1], ranking[2]]}
    fits = [scene for scene in tried if was_ranked(scene, before)]
    assert [(scene.family, scene.index, scene.style.n_fillers) for scene in fits] == [
        ("orders", 3, 0),
        ("alerts", 2, 0),
        ("orders", 3, 1),
        ("alerts", 2, 1),
    ]
    cases = scene_cases(settings, source, [*fits[:2], fits[3]])
    assert [(scene.family, scene.index) for scene in cases.one_way] == [("orders", 3), ("alerts", 2)]
    assert [scene.task.matches for scene in cases.one_way] == [True, False]
    assert cases.horizons == cases.one_way
    assert [(scene.family, scene.style.n_fillers) for scene in cases.frontier] == [
        ("orders", 0),
        ("alerts", 0),
        ("alerts", 1),
    ]
    assert [(s.family, s.index) for s in cases.planted] == [("orders", 3), ("alerts", 2)]
    with pytest.raises(PkvError, match="no pair of the shortest prompts"):
        scene_cases(settings, source, fits[2:])


def test_scenes_without_a_screen_are_the_first_ones_as_before() -> None:
    settings = checked(EditingSettings, {"families": ["orders", "alerts"], "fillers": [0], "instances": 2})
    source = SceneSource.of(settings, TOKENIZER)
    cases = scene_cases(settings, source)
    assert [scene.index for scene in cases.one_way] == [2, 2]
    assert [case.wording for case in source.ranking_cases(source.style(0))[:2]] == [
        cases.one_way[0].task.wording
    ] * 2


def test_own_pairs_that_are_wrong_on_a_side_are_left_out(tmp_path: Path) -> None:
    file = pairs(tmp_path / "my.jsonl")
    settings = checked(
        CircuitSettings, {"pairs": file, "screen": "both_sides", "candidates": 1}
    )  # none is drawn
    discovery, held_out = polarity_candidates(settings, TOKENIZER)
    sides = {"orders": "bd", "lamps": "cb"}
    model = taught(tmp_path / "model", told([*discovery, *held_out], sides))
    with pytest.raises(PkvError, match="right on both sides of 1 of 2 pairs, and 1 of 2 families"):
        find("circuit").run(
            model=model, results_dir=tmp_path / "results", pairs=file, screen="both_sides", verify="none"
        )


def test_a_model_that_is_right_on_too_few_pairs_ends_the_run_in_one_line(tmp_path: Path) -> None:
    model = taught(tmp_path / "model", told(polarity_pairs(), PATTERN | {"alerts": "cdw"}))
    with pytest.raises(PkvError, match="right on both sides of 1 of 6 pairs, and 1 of 2 families"):
        find("circuit").run(model=model, results_dir=tmp_path / "results", **CIRCUIT, **FAMILIES)
