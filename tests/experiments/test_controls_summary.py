"""The controls experiment's choices, and its summary on numbers with known answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from experiments.controls.cases import Cases, build_quads, build_templates, left_out
from experiments.controls.probing import probed_layers
from experiments.controls.ranking import best_positions, note_labels, rank_notes
from experiments.controls.settings import ControlsSettings
from experiments.controls.summary import summarise
from pkv_interp.errors import PkvError
from pkv_interp.records.archive import Head
from pkv_interp.records.codec import decode, encode
from pkv_interp.records.environment import environment
from pkv_interp.records.tables import by_table
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks import DISCOVERY, HELD_OUT, Case, Family
from pkv_interp.tasks.off_template import Template, off_template_case
from pkv_interp.tasks.sites import site_labels
from tests.experiments import controls_made_up as made_up
from tests.experiments.configs import compose
from tests.experiments.controls_examples import HEADLINES, SMALL
from tests.families import tiny


@pytest.fixture(scope="module")
def settings() -> ControlsSettings:
    # All families, two quads each.
    made = compose(
        "controls",
        *[a for a in SMALL if not a.startswith(("discovery", "held_out", "sae", "probe_layers"))],
        "sae_features=32", "sae_active=6", "sae_steps=150", "sae_top=[1,30]",
    )  # fmt: skip
    assert isinstance(made, ControlsSettings)
    return made


def test_splits_take_turns_with_wordings_and_values(settings: ControlsSettings) -> None:
    discovery, held_out = build_quads(settings, tiny("llama").tokenizer)
    assert {both.quad.family for both in discovery} == set(DISCOVERY)
    assert {both.quad.family for both in held_out} == set(HELD_OUT)
    for side in (discovery, held_out):
        assert len({both.quad.polarity.wording for both in side}) == 4
        for first, second in zip(side[::2], side[1::2], strict=True):
            assert first.quad.family == second.quad.family
            assert first.quad.values == second.quad.values[::-1]
            assert first.twin.field.clean.spans == first.quad.field.clean.spans
    assert len(build_templates(settings, tiny("llama").tokenizer)) == 3 * 16


def test_draws_of_a_template_that_do_not_align_are_passed_over(
    settings: ControlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(template: Template, family: Family, index: int, *args: Any, **recipe: Any) -> Case:
        if template == "lookup" and (index == 0 or family.name == "support"):
            raise PkvError("42 and 43 tokens", "choose others")
        return off_template_case(template, family, index, *args, **recipe)

    tokenizer = tiny("llama").tokenizer
    usual = build_templates(settings, tokenizer)
    monkeypatch.setattr("experiments.controls.cases.off_template_case", draw)
    made = build_templates(settings, tokenizer)
    lookups = {case.family for case in made if case.wording == "lookup"}
    assert lookups == {case.family for case in usual} - {"support"}
    assert left_out(Cases([], [], [], usual), settings) == []
    told = "template lookup: of 1 pairs a family, draws that align make fewer in support 0"
    assert left_out(Cases([], [], [], made), settings) == [told]


def test_a_template_without_any_pair_is_refused(
    settings: ControlsSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = Mock(side_effect=PkvError("42 and 43 tokens", "choose others"))
    monkeypatch.setattr("experiments.controls.cases.off_template_case", draw)
    with pytest.raises(PkvError, match="no draw of the template 'multi_hop' makes a pair"):
        build_templates(settings, tiny("llama").tokenizer)


def test_one_quad_of_each_held_out_family_is_edited(settings: ControlsSettings) -> None:
    cases = made_up.cases(settings)
    assert cases.edited == cases.held_out[::2]


def test_aggregators_are_ranked_single_labels(settings: ControlsSettings) -> None:
    cases, best = made_up.cases(settings), "question-0"

    def positions(case: Case) -> np.ndarray:
        return np.array([1.0 if n == best else 0.9 if n == "tools" else -0.9 for n in note_labels(case)])

    found = {}
    for quad in cases.discovery:
        one = made_up.ranked(quad, 0.0)
        found[key_of(quad)] = replace(
            one,
            polarity=replace(one.polarity, clean=1.0, corrupt=-1.0, positions=positions(quad.polarity)),
            field=replace(one.field, clean=1.0, corrupt=-1.0, positions=positions(quad.field)),
        )
    plan = rank_notes(settings, cases, Stage(found))
    assert plan.labels[0] == best
    assert len(plan.labels) == len(set(plan.labels)) == settings.n_aggregators
    assert plan.notes[best] == pytest.approx(1.0)
    assert plan.notes["tools"] > 0.5  # ranked, but at many positions of a prompt
    for quad in cases.held_out:
        named = site_labels(quad.polarity.clean)[quad.polarity.after_change :]
        assert all(named.count(label) == 1 for label in plan.labels)
        case = quad.polarity
        strongest, *others = best_positions(case, plan, 4)
        assert site_labels(case.clean)[strongest] == best
        # Of a label with several positions the latest ones come first.
        tools = [i for i, label in enumerate(site_labels(case.clean)) if label == "tools"]
        assert others == tools[: -len(others) - 1 : -1]


def test_the_last_layer_is_always_probed(settings: ControlsSettings) -> None:
    for n_layers in (2, 3, 30, 49, 80):
        layers = probed_layers(settings, n_layers)
        assert layers[-1] == n_layers
        assert layers[0] >= 1
    assert len(probed_layers(settings.model_copy(update={"probe_layers": 24}), 80)) <= 28


@pytest.fixture(scope="module")
def summary(settings: ControlsSettings) -> Report:
    stored = made_up.measured(settings)
    found = decode(encode(stored, type(stored), "measured"), type(stored), "measured")
    model: dict[str, Any] = {"dtype": "float32", "random_weights": False}
    return summarise(found, Scoring(settings, Head(model, (), {"margin": 1e-3}, environment())))


def lines(summary: Report, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table = by_table(summary.tables)[name]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def test_the_headline_has_its_known_answers(summary: Report) -> None:
    values = {name: estimate.value for name, estimate in summary.stated().items()}
    assert values.pop("sae_auc") > 0.9
    assert values == {
        "competence": 1.0,
        "trigger_only": pytest.approx(0.01, abs=1e-3),
        "notes_only": pytest.approx(0.99, abs=1e-3),
        "write_depth": 0.5,
        "commit_depth": 0.75,
        "top8": pytest.approx(0.8, abs=1e-3),
        "random8": pytest.approx(0.15, abs=1e-3),
        "injection": pytest.approx(0.8, abs=1e-3),
        "injection_random": pytest.approx(0.05, abs=1e-3),
        "injection_same": pytest.approx(0.02, abs=1e-3),
        "injection_field_notes": pytest.approx(1.0, abs=1e-3),
        "lookup_field_only": pytest.approx(0.6, abs=1e-3),
        "direction": pytest.approx(0.3),
        "direction_random": pytest.approx(0.0, abs=1e-9),
        "direction_full": pytest.approx(0.9),
        "sae_full": pytest.approx(0.6),
        "sae_top1_clamp": pytest.approx(0.1),
        "sae_top30_clamp": pytest.approx(0.4),
        "scrub_same": pytest.approx(0.02, abs=1e-3),
        "scrub_note": pytest.approx(0.8, abs=1e-3),
        "scrub_rest": pytest.approx(0.3, abs=1e-3),
    }
    assert set(summary.stated()) == HEADLINES
    scored = {name: estimate.n_families for name, estimate in summary.stated().items()}
    everywhere = {"competence", "trigger_only", "notes_only", "lookup_field_only"}
    assert {name for name, n in scored.items() if n == 16} == everywhere
    assert {n for name, n in scored.items() if name not in everywhere} == {8}


def test_probes_tell_conclusion_from_field(summary: Report) -> None:
    table = {line["layer"]: line for line in lines(summary, "probes")}
    assert table[1]["conclusion"] < 0.7
    assert table[1]["field"] > 0.95  # known in its own family before any conclusion is
    assert table[2]["conclusion"] > 0.95
    assert table[2]["p_adjusted"] < 0.05 < table[1]["p_adjusted"]
    assert all(0.2 < line["shuffled"] < 0.8 for line in table.values())


def test_claims_are_held_against_the_one_floor_beside_those_of_discovery_families(summary: Report) -> None:
    assert summary.noise_floor["same_conclusion_trigger_all"] == pytest.approx(0.1, abs=1e-3)
    assert summary.noise_floor["same_conclusion_trigger"] == pytest.approx(0.005, abs=1e-3)
    found = lines(summary, "equivalence")
    assert {line["floor"] for line in found} == {0.1}
    verdicts = {(line["claim"], line["donors"]): line["equivalent"] for line in found}
    wide, narrow, field = (f"same_conclusion_{n}" for n in ("trigger_all", "trigger", "field_all"))
    assert {claim for claim, equivalent in verdicts.items() if equivalent} == {
        ("trigger_only is about 0", narrow),  # 0.01, more than what donors move there
        ("notes_only is about 1", wide),
        ("injection_field_notes is about 1", field),
        ("injection_random is about 0", wide),
        ("injection_same is about 0", wide),
        ("scrub_same is about 0", wide),
        ("scrub_same, other values, note is about 0", wide),
        ("direction_random is about 0", wide),
        ("multi_hop_field_only is about 0", field),
        ("conversational_field_only is about 0", field),
    }
    assert {claim for claim, equivalent in verdicts.items() if not equivalent} == {
        ("random8 is about 0", field),
        ("top8 is about 1", field),
        ("scrub_rest is about 0", wide),
        ("scrub_note is about 1", wide),
        ("injection is about 1", wide),
    }


def test_false_notes_are_followed_or_not(summary: Report) -> None:
    (whole,) = lines(summary, "injection", donor="field", positions="all notes")
    assert (whole["follows"], whole["value"]) == (1.0, pytest.approx(1.0, abs=1e-3))
    (some,) = lines(summary, "injection", donor="field", positions="top8")
    assert some["follows"] == 0.5  # 0.8 of the way turns the decision, 0.4 does not
    assert some["value"] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("pair", ["polarity", "field"])
def test_false_conclusions_are_told_by_where_they_stand(summary: Report, pair: str) -> None:
    told = {line["positions"]: line for line in lines(summary, "injection", pair=pair, donor="conclusion")}
    values = {name: line["value"] for name, line in told.items()}
    want = {"aggregators": 0.8, "random": 0.05, "single labels": 0.4, "all notes": 1.0}
    assert values == pytest.approx(want, abs=1e-3)
    assert {name: line["follows"] for name, line in told.items() if line["follows"]} == {
        "aggregators": 1.0, "all notes": 1.0,
    }  # fmt: skip
    assert {name: line["matched"] for name, line in told.items() if line["matched"] is not None} == {
        "random": 0.75
    }
    (same,) = lines(summary, "injection", pair=pair, donor="record")
    assert same["follows"] == 0.0
    assert same["drift"] == pytest.approx(0.02, abs=1e-3)


def test_figures_over_right_pairs_leave_out_the_others(settings: ControlsSettings) -> None:
    found = made_up.measured(settings)
    wrong = found.cases.held_out[0]
    one = found.scores.at(wrong)
    # A quad that is wrong on a polarity pair's clean side, and follows nothing that is put into it.
    cells = replace(one.injected, plain=np.array([-1.0, -3.0, 3.0, -3.0]))
    cells = replace(cells, other={name: cells.plain for name in cells.other})
    odd = replace(one, polarity=replace(one.polarity, clean=-1.0), injected=cells)
    scores = Stage(found.scores.results | {key_of(wrong): odd})
    model: dict[str, Any] = {"dtype": "float32", "random_weights": False}
    head = Head(model, (), {"margin": 1e-3}, environment())
    report = summarise(replace(found, scores=scores), Scoring(settings, head))
    told = {line["headline"]: line for line in lines(report, "right_pairs")}
    assert told["injection"]["right"] == pytest.approx(0.8, abs=1e-3)
    assert told["injection"]["value"] < 0.79
    assert told["injection"]["right_n_instances"] == told["injection"]["n_instances"] - 1 == 15
    assert told["injection_field_notes"]["right_n_instances"] == 16
    assert told["sae_auc"]["right"] > 0.9
    assert set(told) == HEADLINES - {"competence"}


def test_what_edits_take_away_stands_beside_what_they_bring(summary: Report) -> None:
    taken = {line["arm"]: line["value"] for line in lines(summary, "directions", edit="out of clean")}
    assert taken == {
        "ablate": pytest.approx(0.25),
        "ablate_probe": pytest.approx(0.1),
        "ablate_random": pytest.approx(0.0, abs=1e-9),
    }
    for where, share in (("strongest", 1.0), ("all", 0.5)):
        mine = lines(summary, "sae_clamps", where=where)
        clamps = {(line["edit"], line["arm"]): line["value"] for line in mine}
        assert clamps["out of clean", "top30"] == pytest.approx(0.2 * share)
        assert clamps["into corrupt", "full"] == pytest.approx(0.6 * share)
        assert clamps["into corrupt", "random1"] == pytest.approx(0.0, abs=1e-9)
        assert ("into corrupt", "random30") not in clamps  # of 32 features no 30 others exist
        (line,) = lines(summary, "sae", where=where)
        assert line["replayed"] == made_up.REPLAYED
        assert line["samples"] == made_up.REPLAYED + 16 * 4 * made_up.POSITIONS
        assert line["unexplained_held_out"] > 0
        assert 0 < line["unexplained_replay"] < 1


def test_a_template_that_the_model_fails_makes_no_claim(summary: Report) -> None:
    competent = {line["template"]: line["competent"] for line in lines(summary, "templates")}
    assert competent == {"multi_hop": True, "conversational": False, "lookup": True}
    assert "conversational_field_only" not in summary.stated()


def test_two_hops_stand_in_the_table_beside_their_competence_and_in_no_headline(summary: Report) -> None:
    (line,) = lines(summary, "templates", template="multi_hop", arm="field_only")
    assert line["value"] == pytest.approx(0.05, abs=1e-3)
    assert (line["match"], line["mismatch"]) == (1.0, 1.0)
    assert "multi_hop_field_only" not in summary.stated()


def test_how_well_random_sets_match_stands_beside_them(summary: Report) -> None:
    assert [line["matched"] for line in lines(summary, "specificity", arm="random")] == [1.0, 0.75, 0.5]
    assert all(line["matched"] is None for line in lines(summary, "specificity", arm="top"))
