"""Pairs whose decision is the same on both sides: how records tell it, and what must not be counted."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit import Finding, PairGroup, Record, control_fields, pair_groups
from pkv_interp.audit.pairs import check_pairs


def groups(document: Any, *controls: str) -> tuple[PairGroup, ...]:
    return pair_groups(Record("r.json", document), controls)


def findings(document: Any, *controls: str) -> tuple[Finding, ...]:
    return check_pairs(groups(document, *controls)).findings


def margins(*pairs: tuple[float, float]) -> dict[str, Any]:
    return {"instances": [{"s_old": old, "s_new": new, "recovery": 0.4} for old, new in pairs]}


def test_margins_of_one_sign_are_one_decision() -> None:
    (one,) = findings(margins((2.75, 7.7), (-4.1, -0.9), (3.0, -1.0)))
    assert (one.field, one.value, one.fields) == ("/instances", "1 of 3 change", 2)
    assert (one.cause, one.expected) == ("some pairs", False)
    assert "2 of 3 pairs" in one.why


def test_pairs_that_never_change_are_told_as_all() -> None:
    (one,) = findings(margins((2.0, 7.0), (-4.0, -1.0)))
    assert (one.cause, one.value) == ("all pairs", "0 of 2 change")


def test_pairs_that_change_and_pairs_that_decide_nothing_are_no_finding() -> None:
    assert findings(margins((2.0, -1.0), (-3.0, 4.0))) == ()
    # Exactly 0 is no decision, and nobody is accused of keeping one.
    assert findings(margins((0.0, 3.0), (-2.0, 0.0))) == ()
    assert check_pairs(groups(margins((2.0, -1.0)))).looked_at == 1


@pytest.mark.parametrize("names", [("s_base", "s_src"), ("s_un", "s_sa")])
def test_other_names_of_margins(names: tuple[str, str]) -> None:
    document = {"patch_instances": [dict(zip(names, (1.0, 2.0), strict=True))] * 3}
    (one,) = findings(document)
    assert (one.field, one.value) == ("/patch_instances", "0 of 3 change")


def test_margins_that_are_no_numbers_are_no_pair() -> None:
    assert groups({"instances": [{"s_old": None, "s_new": 2.0}, {"s_old": "a", "s_new": 1.0}]}) == ()


def test_flags_of_the_record_count_and_controls_are_expected() -> None:
    cases = [
        {"field": "role", "cls": "high", "decision_changed": True},
        {"field": "time", "cls": "low", "decision_changed": False},
    ]
    (control,) = findings(cases)
    assert (control.cause, control.expected, control.value) == ("control", True, "1 of 2 change")
    cases.append({"field": "mode", "cls": "high", "decision_changed": False})
    (one,) = findings(cases)
    assert (one.cause, one.expected, one.fields) == ("some pairs", False, 2)
    assert "1 of these are of a field that no rule speaks of" in one.why


def test_a_field_that_another_record_calls_a_control_is_one() -> None:
    others = [
        Record("a", [{"field": "time", "cls": "low"}, {"scenario": "nonce", "cls": "low"}]),
        Record("b", {"field": "role", "cls": "high"}),
    ]
    assert control_fields(others) == {"time", "nonce"}
    document = {"field": "time", "oracle_changed_per_step": [False, False]}
    assert findings(document)[0].expected is False
    assert findings(document, "time")[0].expected is True
    # What a record says of its own field comes first.
    assert findings(document | {"cls": "high"}, "time")[0].expected is False


def test_lists_of_flags_and_counts_by_the_record() -> None:
    (steps,) = findings({"oracle_changed_per_step": [True, True, False]})
    assert (steps.field, steps.value) == ("/oracle_changed_per_step", "2 of 3 change")
    (flips,) = findings({"clean_flips": 1, "n_instances": 8})
    assert (flips.field, flips.value, flips.fields) == ("/clean_flips", "1 of 8 go from old to new", 7)
    assert findings({"clean_flips": 8, "n_instances": 8}) == ()
    assert groups({"clean_flips": 9, "n_instances": 8}) == ()
    assert groups({"clean_flips": 1}) == ()


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        ({"stale": "refund", "oracle": "refund"}, 1),
        ({"stale (pending)": "cancel", "oracle (processed)": "deny"}, 0),
        ({"decision_before_edit(a)": "x", "decision_full_reprefill(b)": "x"}, 1),
        ({"stale": {"argmax": "a"}, "oracle": {"argmax": "a"}}, 1),
        ({"stale_full": {"tool": "a"}, "oracle_new": {"tool": "b"}}, 0),
    ],
)
def test_decisions_by_name(document: dict[str, Any], kept: int) -> None:
    (group,) = groups(document)
    assert (group.told_by, group.pairs, group.kept) == ("names", 1, kept)


@pytest.mark.parametrize(
    "document",
    [
        {"stale": "4/4", "oracle": "4/4"},
        {"stale": "(unfinished)", "oracle": "(unfinished)"},
        {"stale": 1, "oracle": 1},
        {"stale": {"P_correct": 0.0}, "oracle": {"P_correct": 0.0}},
        {"stale": "a"},
    ],
)
def test_what_is_no_decision_is_no_pair(document: dict[str, Any]) -> None:
    assert groups(document) == ()


def test_a_pair_with_a_flag_is_counted_once() -> None:
    lines = {"oracle_old": "a", "oracle_new": "a"}
    (group,) = groups(
        [{"decision_changed": False, "lines": lines}, {"decision_changed": True, "lines": lines}]
    )
    assert (group.told_by, group.pairs, group.kept) == ("flag", 2, 1)
