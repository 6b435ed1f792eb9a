"""Each preregistered claim on made-up measurements: passed, failed, not applicable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from experiments.confirm.parts import PARTS, check_claims
from experiments.confirm.samples import DepthGap
from experiments.confirm.settings import PREREGISTRATION, ConfirmSettings
from experiments.confirm.summary import summarise
from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED, PartLine
from pkv_interp.errors import PkvError
from pkv_interp.run.preregistration_file import load, parse
from tests.experiments import made_up
from tests.experiments.confirm_made_up import (
    BAD,
    GOOD,
    MODEL,
    World,
    lines,
    measured,
    plan_text,
    report,
    without_scores,
)

CLAIMS = load(PREREGISTRATION).claims


def test_every_claim_of_the_file_is_tried_here() -> None:
    assert {claim.judged_by for claim in CLAIMS} == set(GOOD) == set(BAD) == set(PARTS)
    named = {model for claim in CLAIMS for model in claim.models}
    assert named == set(load(PREREGISTRATION).models)


def test_where_all_is_as_claimed_every_claim_passes() -> None:
    made = report(World(GOOD))
    outcomes = {name: line.outcome for name, line in lines(made).items()}
    left = {claim.name for claim in CLAIMS if MODEL not in claim.models}
    assert outcomes == {**dict.fromkeys(GOOD, PASSED), **dict.fromkeys(left, NOT_APPLICABLE)}
    stated = made.stated()
    assert stated["claims_passed"].value == stated["claims_total"].value == len(GOOD)
    for name, value in GOOD.items():
        assert stated[name].value == 1.0
        assert stated[f"{name}_estimate"].value == pytest.approx(value)
        assert lines(made)[name].value == pytest.approx(value)
        assert stated[name].what.startswith(PASSED)


@pytest.mark.parametrize("name", GOOD)
def test_a_claim_fails_alone_where_its_figure_is_not_as_claimed(name: str) -> None:
    made = report(World(GOOD | {name: BAD[name]}))
    failed = [one for one, line in lines(made).items() if line.outcome == FAILED]
    assert failed == [name]
    stated = made.stated()
    assert stated[name].value == 0.0
    assert stated[f"{name}_estimate"].value == pytest.approx(BAD[name])
    assert stated["claims_passed"].value == len(GOOD) - 1
    assert stated["claims_total"].value == len(GOOD)


def test_a_large_estimate_with_an_interval_that_reaches_the_rival_reading_fails() -> None:
    made = report(World(GOOD | {"notes_only": 0.95}, spread=0.9))
    line = lines(made)["notes_only"]
    assert line.value is not None
    assert line.ci_low is not None
    assert line.value > 0.9
    assert line.ci_low < 0.5
    assert line.outcome == FAILED
    assert "does not exclude 0.5" in line.reason


def test_nothing_is_claimed_of_an_effect_that_may_be_larger_than_the_floor() -> None:
    line = lines(report(World(GOOD, spread=0.5)))["field_only"]
    assert line.value == pytest.approx(0.0, abs=0.06)
    assert line.outcome == FAILED
    assert line.p_equivalence is not None
    assert line.p_equivalence > 0.05


def test_claims_are_judged_on_pairs_right_on_both_sides_and_all_pairs_stand_beside() -> None:
    found = measured(World(GOOD, wrong={"field pairs": 1}))
    assert found.scores is not None
    # The family that is decided wrong is the one in which the field carries all.
    spoilt = [
        replace(one, arms=one.arms | {"field_only": 2.0}) if one.about.family == "family0" else one
        for one in found.scores.field
    ]
    found = replace(found, scores=replace(found.scores, field=spoilt))
    line = lines(summarise(found, made_up.scoring(ConfirmSettings())))["field_only"]
    assert (line.value, line.outcome) == (pytest.approx(0.0), PASSED)
    assert line.all_value == pytest.approx(1 / 8)
    assert (line.n_instances, line.all_n_instances) == (14, 16)


def test_a_part_that_the_model_does_not_do_leaves_its_claims_out_of_the_count() -> None:
    made = report(World(GOOD, wrong={"quads": 4}))
    told = lines(made)
    out = {name for name, line in told.items() if line.outcome == NOT_APPLICABLE} & set(GOOD)
    assert out == {name for name, part in PARTS.items() if part == "quads"}
    assert {told[name].reason for name in out} == {"the model does not follow these rules in quads"}
    assert all(told[name].value is None for name in out)
    assert not out & set(made.stated())
    assert made.stated()["claims_total"].value == len(GOOD) - len(out)
    (line,) = [line for line in made.tables if isinstance(line, PartLine) and line.part == "quads"]
    assert (line.mismatch, line.competent, line.right_on_both, line.families_right) == (0.5, False, 4, 4)


def test_too_few_families_right_on_both_sides_are_told_as_such() -> None:
    text = plan_text(competence=0.5)
    told = lines(report(World(GOOD, wrong={"field pairs": 4}), text))
    assert told["field_only"].outcome == NOT_APPLICABLE
    assert told["field_only"].reason.startswith("4 families have a pair right on both sides, and 6")


def test_a_model_that_follows_no_rule_has_no_claim() -> None:
    found = without_scores(measured(World(GOOD, wrong={"field pairs": 8, "polarity pairs": 8})))
    made = summarise(found, made_up.scoring(ConfirmSettings()))
    stated = made.stated()
    assert set(stated) == {"competence", "claims_passed", "claims_total"}
    assert stated["claims_passed"].value == stated["claims_total"].value == 0
    told = {line.reason for line in lines(made).values() if line.claim in GOOD}
    assert told == {"the model does not follow these rules"}
    assert {row.arm for row in made.rows} == {"field/unpatched", "polarity/unpatched"}


def test_what_was_measured_of_a_model_that_fails_the_gate_is_not_judged() -> None:
    made = report(World(GOOD, wrong={"field pairs": 8, "polarity pairs": 8}))
    assert {line.outcome for line in lines(made).values()} == {NOT_APPLICABLE}
    assert {row.arm for row in made.rows} == {"field/unpatched", "polarity/unpatched"}


def test_probes_that_could_not_be_trained_are_no_failure() -> None:
    found = measured(World(GOOD))
    assert found.scores is not None
    found = replace(found, scores=replace(found.scores, probes=None))
    line = lines(summarise(found, made_up.scoring(ConfirmSettings())))["write_before_read"]
    assert (line.outcome, line.reason) == (NOT_APPLICABLE, "its figure could not be measured")


def test_the_gap_of_depths_is_taken_on_the_mean_curve_and_its_interval_over_families() -> None:
    rise = np.array([[0.0, 0.2, 0.9, 0.9], [0.0, 0.5, 0.9, 0.9], [0.0, 0.5, 0.9, 0.9]])
    gap = DepthGap(
        rise,
        np.array([0.25, 0.5, 0.75, 1.0]),
        np.array([1.0, 1.0, 0.7]),
        0.3,
        ["a", "b", "c"],
        np.ones(3, bool),
    )
    found = gap.estimate(gap.counted, {"seed": 0, "draws": 2000})
    assert found.value == pytest.approx(0.9 - 0.5)
    assert found.ci_low is not None
    assert found.ci_low == pytest.approx(0.7 - 0.5, abs=0.06)  # all of the third family
    never = replace(gap, rise=np.zeros((3, 4)))
    assert never.estimate(never.counted, {"seed": 0, "draws": 2000}).value == pytest.approx(0.9 - 1.0)


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"name": "no_such_figure"}, "no figure is called"),
        ({"name": "write_before_read"}, "gap of two depths"),
    ],
)
def test_a_claim_about_what_is_not_measured_is_refused(change: dict[str, str], cause: str) -> None:
    claims = yaml.safe_load(PREREGISTRATION.read_text())["claims"][:1]
    with pytest.raises(PkvError, match=cause):
        check_claims(parse(plan_text(claims=[claims[0] | change])))
