"""The summary of the patching experiment, on numbers with known answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.patching.measure import Measured
from experiments.patching.paths import CUT_OFF, Paths
from experiments.patching.settings import PatchingSettings
from experiments.patching.summary import summarise
from pkv_interp.run.report import Report
from pkv_interp.run.stage import Stage, key_of
from tests.experiments.patching_examples import build_cases, made_up, scoring_of, small, table
from tests.families import tiny


@pytest.fixture(scope="module")
def settings() -> PatchingSettings:
    return small()


@pytest.fixture(scope="module")
def found(settings: PatchingSettings) -> Measured:
    cases, _ = build_cases(settings, tiny("llama").tokenizer)
    return made_up(dataclasses.replace(cases, dosed=cases.held_out, chains=[]))


@pytest.fixture(scope="module")
def summary(found: Measured, settings: PatchingSettings) -> Report:
    return summarise(found, scoring_of(settings))


def test_the_headline_has_its_known_answers(summary: Report) -> None:
    values = {headline.name: headline.estimate.value for headline in summary.headlines}
    assert values == {
        "competence": 1.0,
        "field_only": pytest.approx(0.01, abs=1e-3),
        "notes_only": pytest.approx(0.99, abs=1e-3),
        "full_downstream": pytest.approx(1.0),
        "top8": pytest.approx(0.8),
        "random8": pytest.approx(0.15),
        "k90": 9.0,
        "knockout_field": pytest.approx(1.0),
        "closed_notes_field": pytest.approx(0.2 / 6, abs=1e-3),
        "closed_notes_rule": pytest.approx(0.5),
        "closed_question_notes": pytest.approx(0.5),
        "closed_random": pytest.approx(1.0),
        "field_attention": pytest.approx(0.01),
        "notes_attention": pytest.approx(0.4),
        "field_only_last": pytest.approx(0.5, abs=1e-3),
        "notes_only_last": pytest.approx(0.5, abs=1e-3),
    }
    assert {headline.estimate.n_families for headline in summary.headlines} == {16}
    (line,) = table(summary, "k90")
    assert (line["pooled_curve"], line["never_reached"]) == (9, 0.0)
    assert [line["value"] for line in table(summary, "rank_curve")][:10] == pytest.approx(
        np.arange(1, 11) / 10
    )


def test_claims_are_held_against_the_one_floor(summary: Report) -> None:
    assert summary.noise_floor["same_conclusion_both"] == pytest.approx(0.1, abs=1e-3)
    assert summary.noise_floor["same_conclusion_field"] == pytest.approx(0.005, abs=1e-3)
    found = table(summary, "equivalence")
    assert {line["floor"] for line in found} == {0.1}
    beside = {line["claim"]: (line["donors"], line["donors_move"]) for line in found}
    assert beside["field_only is about 0"] == ("same_conclusion_field", pytest.approx(0.005, abs=1e-3))
    assert beside["notes_only is about 1"] == ("same_conclusion_both", pytest.approx(0.1, abs=1e-3))
    verdicts = {line["claim"]: line["equivalent"] for line in found}
    assert len(verdicts) == len(found)
    assert verdicts["field_only is about 0"]  # 0.01, more than what donors move there
    assert verdicts["notes_only is about 1"]
    assert verdicts["gap with the field knocked out is about 1"]
    assert verdicts["notes, early layers is about 0"]
    assert not verdicts["notes, late layers is about 0"]
    assert not verdicts["top8 is about 1"]
    assert not verdicts["random8 is about 0"]


def test_sites_are_tested_together(summary: Report) -> None:
    p = {line["layer"]: line["p_adjusted"] for line in table(summary, "layers", part="KV")}
    assert p[0] == 1.0
    assert max(p[1], p[2]) < 0.01
    for line in table(summary, "grid_regions", part="V"):
        assert (line["value"], line["p_adjusted"]) == (pytest.approx(0.0), 1.0)
    kinds = {line["kind"]: line["value"] for line in table(summary, "token_kinds")}
    assert sum(kinds.values()) == pytest.approx(1.0)  # ten positions with a tenth each
    assert kinds["conversation"] == pytest.approx(0.0)


def test_every_mechanism_headline_is_also_over_right_pairs(
    found: Measured, settings: PatchingSettings
) -> None:
    first, *others = found.cases.held_out
    wrong = dataclasses.replace(found.scored.at(first), corrupt=1.0)  # wrong on its stale side
    scored = Stage(found.scored.results | {key_of(first): wrong})
    summary = summarise(dataclasses.replace(found, scored=scored), scoring_of(settings))
    lines = {line["headline"]: line for line in table(summary, "right_pairs")}
    assert list(lines) == [headline.name for headline in summary.headlines if headline.needs_gate]
    of_places = {"field_only_last", "notes_only_last"}  # on other prompts
    assert {lines[n]["right_n_instances"] for n in lines.keys() - of_places} == {len(others)}
    assert lines["top8"]["right"] == pytest.approx(0.8)
    assert lines["top8"]["value"] != pytest.approx(
        0.8, abs=1e-3
    )  # its sets are no longer measured from its side


def test_paths_leave_their_known_share_and_a_leak_fails_the_control(
    found: Measured, summary: Report, settings: PatchingSettings
) -> None:
    lines = {line["path"]: line for line in table(summary, "paths")}
    assert list(lines) == ["notes_field", "notes_rule", "question_notes", "decision_field", "random"]
    assert lines["decision_field"]["value"] == pytest.approx(1.0)
    assert {(line["clean_right"], line["corrupt_right"]) for line in lines.values()} == {(1.0, 1.0)}
    controls = {one.name: one.passed for one in summary.controls}
    assert controls == {"full_downstream": True, "field_cut_off": True}
    leaky = found.paths.map(lambda one: dataclasses.replace(one, clean=one.clean | {CUT_OFF: 0.3}))
    again = summarise(dataclasses.replace(found, paths=leaky), scoring_of(settings))
    assert {one.name: one.passed for one in again.controls}["field_cut_off"] is False


def test_a_path_that_a_case_lacks_is_no_figure(found: Measured, settings: PatchingSettings) -> None:
    def without(one: Paths) -> Paths:
        clean, corrupt = (
            {k: v for k, v in side.items() if k != "notes_rule"} for side in (one.clean, one.corrupt)
        )
        return Paths(clean, corrupt, [])

    first = found.cases.held_out[0]
    stage = Stage(found.paths.results | {key_of(first): without(found.paths.at(first))})
    summary = summarise(dataclasses.replace(found, paths=stage), scoring_of(settings))
    assert {line["path"] for line in table(summary, "paths")} == {
        "notes_field",
        "question_notes",
        "decision_field",
    }
