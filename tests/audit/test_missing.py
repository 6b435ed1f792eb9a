"""Figures without n: which figures need one, and where it is found."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit import KINDS, Finding, Record, audit
from pkv_interp.audit.missing import INTERVAL, SHARE, TIME, check_missing


def findings(document: Any) -> tuple[Finding, ...]:
    return check_missing(Record("r.json", document)).findings


def test_each_sort_is_one_finding_with_what_its_figures_are_in() -> None:
    document = {
        "phrasing": {"a": {"P_correct": 1.0, "ci": [0.6, 1.0]}, "b": {"P_correct": 0.9, "ci": [0.5, 1.0]}},
        "timing": {"full_ms": 3.0},
        "probe": {"acc_by_layer": {"1": 0.5, "2": 0.7}},
    }
    found = {one.cause: one for one in findings(document)}
    assert {cause: (one.field, one.fields) for cause, one in found.items()} == {
        INTERVAL: ("/phrasing", 2),
        SHARE: ("/probe/acc_by_layer", 2),
        TIME: ("/timing/full_ms", 1),
    }
    assert found[INTERVAL].value == "2 figures (first /phrasing/a/P_correct)"
    assert check_missing(Record("r", document)).looked_at == 5


@pytest.mark.parametrize(
    "document",
    [
        {"n": 8, "P_correct": 1.0, "ci": [0.6, 1.0]},
        {"P_correct": 1.0, "ci": [0.6, 1.0], "dist": {"right": 8}},
        {"tasks": ["a", "b"], "mean_recovery": 0.5},
        {"decisions": 300, "agreement": 0.9, "mean_speedup": 2.0},
    ],
)
def test_a_count_in_reach_is_enough(document: dict[str, Any]) -> None:
    assert findings(document) == ()


@pytest.mark.parametrize(
    "document",
    [
        {"instances": [{"correct": 1, "acc": 0.5}, {"correct": 0, "acc": 0.5}]},
        [{"P_safe": 1.0}, {"P_safe": 0.0}],
        # Levels, logits, p-values and settings are no shares.
        {"safe_level": 0.2, "esc_minus_unsafe": -14.5, "p": 0.03, "layer": 14, "alpha": 0.4},
        {"mean_dev_first8": 13.8},
        {"acc": None, "agreement": "high", "correct": True},
        {"threshold_s": 4.6},
    ],
)
def test_what_needs_no_count(document: Any) -> None:
    assert findings(document) == ()


def test_an_interval_and_its_figure_are_one() -> None:
    (one,) = findings({"x": {"accuracy": 0.5, "accuracy_ci": [0.4, 0.6]}})
    assert (one.cause, one.fields, one.field) == (INTERVAL, 1, "/x/accuracy")


def test_an_audit_has_every_kind_in_its_order_and_counts_what_it_looked_at() -> None:
    found = audit(Record("r.json", {"model": "m", "acc": 0.5, "n": 3}))
    assert [one.kind for one in found.checked] == list(KINDS)
    assert (found.model, found.looked_at, found.findings) == ("m", 1, [])
    assert audit(Record("r.json", {"title": "notes"})).looked_at == 0
