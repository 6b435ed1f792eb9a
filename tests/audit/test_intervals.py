"""Intervals without width: by what they are of, and which ones are none."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit import Finding, Record
from pkv_interp.audit.fields import intervals
from pkv_interp.audit.intervals import (
    ALIKE,
    DIFFER,
    IDENTITY,
    ONE,
    ROUNDED,
    UNKNOWN,
    Differing,
    check_intervals,
    differing,
)
from pkv_interp.audit.samples import usual_width


def findings(document: Any) -> tuple[Finding, ...]:
    return check_intervals(Record("r.json", document)).findings


def over(values: list[float], **more: Any) -> dict[str, Any]:
    mean = round(sum(values) / len(values), 3)
    return {
        "agg": {"notes_mean": {"mean": mean, "ci": [mean, mean]}, **more},
        "instances": [{"notes": value} for value in values],
    }


def test_an_interval_with_width_is_no_finding() -> None:
    found = check_intervals(Record("r", {"n": 4, "x": {"mean": 0.5, "ci": [0.5, 0.501]}}))
    assert (found.looked_at, found.findings) == (1, ())


def test_cases_that_differ_under_an_interval_without_width() -> None:
    (one,) = findings(over([0.1, 0.2, 0.6]))
    assert (one.cause, one.expected, one.field) == (DIFFER, False, "/agg/notes_mean/ci")
    assert "3 values in the record reach from 0.1 to 0.6" in one.why
    assert one.value == "0.3 [0.3, 0.3], n=3"


def test_cases_that_are_alike_and_cases_that_differ_under_the_digits() -> None:
    (alike,) = findings(over([0.25, 0.25, 0.25]))
    assert (alike.cause, alike.expected) == (ALIKE, False)
    (rounded,) = findings(over([0.9998, 0.9999, 1.0, 1.0]))
    assert (rounded.cause, rounded.expected) == (ROUNDED, True)


def test_one_case_has_no_spread() -> None:
    (one,) = findings({"x": {"mean": 0.3, "ci": [0.3, 0.3], "n": 1}})
    assert (one.cause, one.expected) == (ONE, False)


@pytest.mark.parametrize(
    "document",
    [
        {"n": 4, "full_downstream_recovery": {"mean": 1.0, "ci": [1.0, 1.0]}},
        {"n": 4, "cum_suffix_mean": {"1.0": {"mean": 1.0, "ci": [1.0, 1.0]}}},
        {"n": 4, "prefix_recovery": {"1.0": {"mean": 1.0, "ci": [1.0, 1.0]}}},
    ],
)
def test_an_identity_is_listed_as_one_and_expected(document: dict[str, Any]) -> None:
    (one,) = findings(document)
    assert (one.cause, one.expected) == (IDENTITY, True)


@pytest.mark.parametrize(
    "document",
    [
        {"n": 4, "full_downstream_recovery": {"mean": 0.6, "ci": [0.6, 0.6]}},
        {"n": 4, "cum_suffix_mean": {"0.9": {"mean": 1.0, "ci": [1.0, 1.0]}}},
        {"n": 4, "layers": {"1.0": {"mean": 1.0, "ci": [1.0, 1.0]}}},
        {"n": 4, "notes_only": {"mean": 1.0, "ci": [1.0, 1.0]}},
    ],
)
def test_what_is_no_identity_is_not_excused_as_one(document: dict[str, Any]) -> None:
    (one,) = findings(document)
    assert (one.cause, one.expected) == (UNKNOWN, False)


def test_a_share_at_its_end_has_the_wilson_interval_told() -> None:
    (one,) = findings({"n": 108, "full_acc": 1.0, "full_ci": [1.0, 1.0]})
    assert one.cause == ALIKE
    assert one.why.endswith("a Wilson interval of 108 cases reaches down to 0.966")
    (none,) = findings({"n": 6, "P_safe": 0.0, "ci": [0, 0]})
    assert none.why.endswith("reaches up to 0.390")


def test_trials_beside_a_share_are_its_cases() -> None:
    document = {"n_trials": 3, "erratum_recovery": 1.0, "erratum_recovery_ci": [1.0, 1.0]}
    assert findings(document)[0].cause == UNKNOWN
    assert findings(document | {"recov_raw": [1, 1, 1]})[0].cause == ALIKE
    # Outcomes with another mean are not those of the figure.
    assert findings(document | {"recov_raw": [1, 0, 1]})[0].cause == UNKNOWN


def test_a_ranked_list_finds_its_heads_in_the_cases() -> None:
    ranked = [{"head": "3.1", "n": 2, "rec_mean": 0.2, "rec_ci": [0.2, 0.2]}]
    cases = [{"write": {"3.1": {"rec": 0.1}}}, {"write": {"3.1": {"rec": 0.3}, "4.0": {"rec": 9.0}}}]
    (one,) = findings({"summary": {"write_heads_ranked": ranked}, "instances": cases})
    assert (one.cause, one.field) == (DIFFER, "/summary/write_heads_ranked/0/rec_ci")


def test_a_lower_bound_has_no_width_only_where_its_share_is_one() -> None:
    document = {
        "a": {"dec_agree": 1.0, "dec_agree_lo": 1.0, "n": 250},
        "b": {"correct": 0.9, "correct_lo": 0.9},
    }
    (one,) = findings(document)
    assert (one.field, one.value) == ("/a/dec_agree_lo", "1 lower bound 1, n=250")
    # A cosine is no share, and at 0 nothing is below.
    assert findings({"cos": 1.0, "cos_lo": 1.0, "n": 9}) == ()
    assert findings({"correct": 0.0, "correct_lo": 0.0, "n": 9}) == ()


def test_what_looks_like_an_interval_and_is_none() -> None:
    document = {"K_star_ci": 4, "field_span": [4, 4], "erratum_ci": None, "ci": [1.0], "x_ci": [True, True]}
    assert intervals(document) == []


def test_two_ends_in_two_keys() -> None:
    (one,) = intervals({"acc": 0.9, "lo": 0.8, "hi": 1.0, "n": 80})
    assert (one.name, one.value, one.low, one.high, one.n, one.one_sided) == ("acc", 0.9, 0.8, 1.0, 80, False)


def test_intervals_that_should_have_a_width_are_counted_with_those_that_have_one() -> None:
    flat = over([0.1, 0.2, 0.6])
    wide = {"agg": {"notes": {"mean": 0.3, "ci": [0.1, 0.6]}}, "instances": flat["instances"]}
    assert differing(Record("r", flat)) == (Differing(3, True),)
    assert differing(Record("r", wide)) == (Differing(3, False),)
    assert differing(Record("r", over([0.25, 0.25]))) == ()
    assert differing(Record("r", {"x": {"mean": 0.3, "ci": [0.3, 0.3], "n": 4}})) == ()


def test_the_usual_width_is_that_of_a_mean() -> None:
    assert usual_width((0.0, 1.0, 0.0, 1.0)) == pytest.approx(2 * 1.96 * 0.57735 / 2, abs=1e-4)
    assert usual_width((0.5,)) == 0.0
