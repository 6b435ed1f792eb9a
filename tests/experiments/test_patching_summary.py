"""The summary of the patching experiment, on numbers with known answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from experiments.patching.measure import Measured
from experiments.patching.settings import PatchingSettings
from experiments.patching.summary import summarise
from pkv_interp.run.report import Report
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
        "knockout_downstream": pytest.approx(0.2 / 6, abs=1e-3),
        "knockout_field": pytest.approx(1.0),
        "field_attention": pytest.approx(0.01),
        "notes_attention": pytest.approx(0.4),
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
