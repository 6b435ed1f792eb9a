"""Models that nobody trained: pairs are screened, the layout is code, read heads are on field pairs."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.confirm.cases import Cases, build_cases
from experiments.confirm.edits import ATTENDED, OTHER, RECOMPUTED, TAGGED, edit_scene
from experiments.confirm.measure import follows
from experiments.confirm.pairs import TOP
from experiments.confirm.parts import check_claims, wanted
from experiments.confirm.screening import Tries, first_of_families
from experiments.confirm.settings import PREREGISTRATION, ConfirmSettings
from experiments.confirm.summary import summarise
from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED, PartLine
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.run.preregistration import Preregistration
from pkv_interp.run.preregistration_file import load, parse
from pkv_interp.run.screen_report import ScreenRow
from pkv_interp.run.settings import checked
from pkv_interp.tasks import default_scenarios
from tests import runs
from tests.experiments import made_up
from tests.experiments.confirm_made_up import GOOD, READS_THE_FIELD, World, lines, measured, report
from tests.families import tiny

SMALL, LARGE = "qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b"
PLAN = load(PREREGISTRATION)
GIVEN = dict(argument.split("=", 1) for argument in runs.CONFIRM if not argument.startswith("threads"))
CODE = {"layout": "python_script", "screen": "both_sides", "flip": "field"}


def written(folder: Path, **entry: Any) -> ConfirmSettings:
    """The small run with the model's entry changed, and claims about words left to other models."""
    data = yaml.safe_load(Path(GIVEN["preregistration"]).read_text())
    data["models"]["tiny-llama"] |= entry
    words = {TAGGED, OTHER, "moved_rule", "moved_rule_blind", "unified_success", "unified_speed"}
    for claim in data["claims"]:
        if claim["name"] in words:
            claim["models"] = ["tiny-qwen3"]
    place = folder / "claims.yaml"
    place.write_text(yaml.safe_dump(data))
    return checked(ConfirmSettings, {**GIVEN, "preregistration": place})


@cache
def _cases(folder: Path) -> Cases:
    return build_cases(written(folder, **CODE), tiny("llama").tokenizer)


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    return _cases(tmp_path_factory.mktemp("code"))


def test_prompts_of_both_sorts_of_families_are_in_the_layout_of_the_entry(cases: Cases) -> None:
    found = [*cases.ranking_field, *cases.field, *cases.quads, *cases.ranking_quads]
    assert {one.layout for one in found} == {"python_script"}
    assert all("decide = {" in case.clean.text for one in found for case in one.pairs)
    assert {one.family for one in cases.ranking_field} == {
        f.name for f in default_scenarios().split("discovery")
    }
    assert {one.family for one in cases.field} == {"my_documents", "my_alerts", "my_customs"}


def test_what_is_not_claimed_of_the_model_is_not_made(cases: Cases) -> None:
    assert cases.polarity == cases.ranking_polarity == cases.moved == cases.moved_late == []
    assert cases.episodes == []
    assert len(cases.field) == 3 * 3  # as many as are tried of each family
    assert all(len(one.edits) == 2 for one in cases.field)


def test_errata_are_not_scored_in_code(cases: Cases) -> None:
    found = edit_scene(Engine(tiny("llama")), cases.field[0].edits[0], {}, 4)
    assert set(found.arms) == {ATTENDED, RECOMPUTED}
    assert found.aligned


def test_draws_that_make_no_pair_are_passed_over_and_counted(tmp_path: Path, monkeypatch: Any) -> None:
    from experiments.confirm import cases as module

    made = module.field_case

    def sometimes(family: Any, index: int, *args: Any, **recipe: Any) -> Any:
        if family.name == "my_alerts" or (family.name == "my_customs" and index % 2):
            raise PkvError("they do not align", "choose others")
        return made(family, index, *args, **recipe)

    monkeypatch.setattr(module, "field_case", sometimes)
    monkeypatch.setattr("experiments.confirm.making.field_case", sometimes)
    found = build_cases(written(tmp_path, **CODE), tiny("llama").tokenizer)
    families = [one.family for one in found.field]
    assert {name: families.count(name) for name in families} == {"my_documents": 3, "my_customs": 3}
    (told,) = [one for one in found.remarks if one.startswith("field pairs")]
    assert "my_alerts 24" in told
    assert "3 of 9 are lacking" in told


def test_too_few_families_are_refused_before_a_model_loads(tmp_path: Path, monkeypatch: Any) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise PkvError("they do not align", "choose others")

    monkeypatch.setattr("experiments.confirm.making.field_case", never)
    with pytest.raises(PkvError, match="0 of 3 families have field pairs under this tokenizer"):
        build_cases(written(tmp_path, screen="both_sides"), tiny("llama").tokenizer)


@pytest.mark.parametrize(
    ("layout", "cause"),
    [("standard", "is no packaged layout for code"), ("no_such", "is no packaged layout for code")],
)
def test_a_layout_that_is_no_packaged_one_for_code_is_refused(
    layout: str, cause: str, tmp_path: Path
) -> None:
    with pytest.raises(PkvError, match=cause):
        build_cases(written(tmp_path, **(CODE | {"layout": layout})), tiny("llama").tokenizer)


def test_a_layout_of_the_file_with_the_same_name_is_refused(tmp_path: Path) -> None:
    data = yaml.safe_load(Path(GIVEN["scenarios"]).read_text())
    data["layouts"][0]["name"] = "python_script"
    place = tmp_path / "s.yaml"
    place.write_text(yaml.safe_dump(data))
    settings = written(tmp_path, **CODE)
    settings = checked(
        ConfirmSettings, {**GIVEN, "preregistration": settings.preregistration.path, "scenarios": place}
    )
    with pytest.raises(PkvError, match="has a layout 'python_script' of its own"):
        build_cases(settings, tiny("llama").tokenizer)


@pytest.mark.parametrize("figure", [TAGGED, "moved_rule", "unified_speed"])
def test_a_claim_about_words_may_not_name_a_model_in_code(figure: str) -> None:
    data = yaml.safe_load(PREREGISTRATION.read_text())
    claim = next(one for one in data["claims"] if one["name"] == figure)
    claim["models"] = [*claim["models"], SMALL]
    with pytest.raises(PkvError, match=f"'{figure}' is measured in words alone"):
        check_claims(parse(yaml.safe_dump(data)))


def test_only_claimed_parts_are_wanted() -> None:
    assert wanted(PLAN, LARGE) == {"field pairs", "polarity pairs"}
    assert "episodes" not in wanted(PLAN, SMALL)
    assert {"quads", "edits", "field pairs", "polarity pairs"} <= wanted(PLAN, SMALL)


def test_the_first_right_pairs_of_each_family_are_used() -> None:
    families, right = ["a", "a", "a", "b", "b"], [False, True, True, True, False]
    assert first_of_families(families, right, 1) == [False, True, False, True, False]
    assert first_of_families(families, [True] * 5, None) == [True] * 5


def test_a_screened_model_follows_where_enough_families_have_a_right_pair() -> None:
    def tried(wrong: int) -> dict[str, Tries]:
        found = measured(World(GOOD, wrong={"field pairs": wrong}), model=SMALL).tried
        return {"field": found["field"]}

    assert follows(tried(2), PLAN, screened=True)
    assert not follows(tried(2), PLAN, screened=False)  # a side is below the gate
    assert not follows(tried(3), PLAN, screened=True)


def test_claims_about_a_screened_model_are_judged_on_used_pairs_whatever_its_accuracy() -> None:
    made = report(World(GOOD, wrong={"field pairs": 2, "quads": 2}), model=SMALL)
    told = lines(made)
    mine = {claim.name for claim in PLAN.claims if SMALL in claim.models}
    assert {name for name, line in told.items() if line.outcome == PASSED} == mine
    assert {told[name].outcome for name in set(told) - mine} == {NOT_APPLICABLE}
    assert told[TOP].part == "field pairs"
    assert told["field_only"].n_families == 6
    parts = {line.part: line for line in made.tables if isinstance(line, PartLine)}
    field = parts["field pairs"]
    assert (field.pairs, field.right_on_both, field.used, field.families_right) == (8, 6, 12, 6)
    assert field.competent is None
    assert field.mismatch == 0.75
    assert made.gate is not None
    assert made.gate.screen is not None
    assert (made.gate.screen.tried, made.gate.screen.used) == (8, 6)
    assert sum(line.tried for line in made.tables if isinstance(line, ScreenRow)) == 8


def test_a_screened_model_with_too_few_families_has_no_claim() -> None:
    made = report(World(GOOD, wrong={"field pairs": 3}), model=SMALL)
    assert {line.outcome for line in lines(made).values()} == {NOT_APPLICABLE}
    assert lines(made)["field_only"].reason.startswith("too few families have a pair right")


def test_a_model_that_guesses_has_no_claim() -> None:
    """Its accuracy is told over all tried pairs, those of discovery families among them."""
    found = measured(World(GOOD, wrong={"field pairs": 2}), model=SMALL)
    wrong = measured(World(GOOD, wrong={"field pairs": 8}), model=SMALL).tried["field"].found
    ranked = [replace(one, split="discovery") for one in wrong]
    ranked = [replace(one, decisions=[replace(d, right=False) for d in one.decisions]) for one in ranked]
    found = replace(found, tried_ranking={"field": Tries(ranked, 1)})
    made = summarise(found, made_up.scoring(ConfirmSettings()))
    assert {line.outcome for line in lines(made).values()} == {NOT_APPLICABLE}
    assert {row.split for row in made.rows} == {"confirm", "discovery"}


def test_claims_about_the_model_that_reads_the_field_pass_and_fail() -> None:
    mine = {claim.name for claim in PLAN.claims if LARGE in claim.models}
    told = lines(report(World(GOOD | READS_THE_FIELD), model=LARGE))
    assert {name for name, line in told.items() if line.outcome == PASSED} == mine
    bad = {"field_only": 0.4, "notes_only": 0.6, TOP: 0.3, "read_heads_random12": 0.12}
    told = lines(report(World(GOOD | bad), model=LARGE))
    assert {name for name, line in told.items() if line.outcome == FAILED} == mine
    assert told["field_read"].figure == "field_only"
    assert told["field_only"].outcome == NOT_APPLICABLE


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"sizes": {"candidates": 1}}, "candidates=1 are fewer than the"),
        ({"sizes": {"edits": 5}}, "edits=5 are of the pairs"),
        ({"status": "final", "confirm_file_sha256": None}, "a final file names its scenarios"),
    ],
)
def test_sizes_that_do_not_fit_and_a_final_file_without_scenarios_are_refused(
    change: dict[str, Any], cause: str
) -> None:
    data = yaml.safe_load(PREREGISTRATION.read_text())
    data["sizes"] |= change.pop("sizes", {})
    with pytest.raises(PkvError, match=cause):
        parse(yaml.safe_dump(data | change))


def test_the_plan_names_untrained_models_with_all_that_screening_needs() -> None:
    plan: Preregistration = PLAN
    for name in (SMALL, LARGE):
        entry = plan.model(name)
        assert (entry.screened, entry.flip, entry.adapter_sha256) == (True, "field", None)
    assert not any(entry.screened for name, entry in plan.models.items() if name not in (SMALL, LARGE))
