"""Agreement with what is never right; gaps under the error of their margins."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit import Finding, Record
from pkv_interp.audit.agreement import check_agreement
from pkv_interp.audit.ratios import check_ratios


def agreement(document: Any) -> tuple[Finding, ...]:
    return check_agreement(Record("r.json", document)).findings


def ratios(document: Any, rounding: float = 0.25) -> tuple[Finding, ...]:
    return check_ratios(Record("r.json", document), rounding).findings


@pytest.mark.parametrize(
    "document",
    [
        {"agreement": 1.0, "full_acc": 0.0, "n": 104},
        {"agreement": 0.99, "full": 0.0, "shifted": 0.01},
        {"toolcall_agreement": 1.0, "full_correct": 0},
        {"agreement": "4/4", "full_correct": "0/4"},
        {"agree": 4, "full": 0, "n": 4},
    ],
)
def test_agreement_with_a_reference_that_is_never_right(document: dict[str, Any]) -> None:
    (one,) = agreement({"results": document})
    assert one.field.startswith("/results/")
    assert "at accuracy 0" in one.value


@pytest.mark.parametrize(
    "document",
    [
        {"agreement": 1.0, "full_acc": 0.01, "n": 104},
        {"agreement": 0.0, "full_acc": 0.0},
        # The other arm is never right, and the reference is: then they do not agree by being wrong.
        {"agreement": 0.1, "full_acc": 0.9, "precompiled_acc": 0.0},
        {"agree": True, "full": "grant", "composed": "grant"},
        {"agreement_ci": [1.0, 1.0], "full_acc": 0.0},
        {"agree_oracle": 0.02, "correct": 0.0},
    ],
)
def test_what_is_no_agreement_at_accuracy_0(document: dict[str, Any]) -> None:
    assert agreement({"results": document}) == ()


def test_entries_of_a_list_are_one_finding() -> None:
    turns = [{"agree": 1.0, "oracle_correct": c} for c in (0.0, 1.0, 0.0)]
    turns += [{"agree": 0.0, "oracle_correct": 0.0}]
    (one,) = agreement({"per_turn": turns})
    assert (one.field, one.value, one.fields) == ("/per_turn", "2 of 4 entries at accuracy 0", 2)


def case(old: float, new: float, identity: float | None = None) -> dict[str, Any]:
    found = {"s_old": old, "s_new": new}
    return found if identity is None else found | {"full_downstream_recovery": identity}


def test_a_gap_under_the_error_of_a_missed_identity() -> None:
    (one,) = ratios({"instances": [case(-1.0, 1.0, 3.0), case(-8.0, 8.0, 1.1)]})
    assert (one.field, one.cause, one.fields) == ("/instances", "identity missed", 1)
    assert one.value == "1 of 2 gaps under 4 logits"
    assert "recovers 1.1 to 3" in one.why


def test_an_identity_that_holds_leaves_the_gaps_alone() -> None:
    document = {"instances": [case(-1.0, 1.0, 1.0), case(2.0, 3.0, 1.0), case(2.0, 5.0)]}
    found = check_ratios(Record("r", document))
    assert (found.looked_at, found.findings) == (3, ())
    # Missed by a little over a wide gap.
    assert ratios({"instances": [case(-8.0, 8.0, 1.02), case(-1.0, 1.0, 0.99)]}) == ()


def test_a_gap_under_rounding() -> None:
    document = {"instances": [{"denom": 0.1}, {"denom": -4.0}]}
    (one,) = ratios(document)
    assert (one.cause, one.value) == ("rounding", "1 of 2 gaps under 0.25 logits")
    assert ratios(document, rounding=0.05) == ()


def test_a_gap_that_is_given_twice_is_counted_once() -> None:
    found = check_ratios(Record("r", {"instances": [case(1.0, 5.0) | {"denom": 4.0}]}))
    assert found.looked_at == 1
