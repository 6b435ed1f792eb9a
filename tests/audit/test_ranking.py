"""Ranks and scores on the same instances, as far as a record shows it."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit import Finding, KnownRanking, Record
from pkv_interp.audit.ranking import check_rankings


def findings(document: Any, *known: KnownRanking, name: str = "r.json") -> tuple[Finding, ...]:
    return check_rankings(Record(name, document), known).findings


def patched(*first: float) -> dict[str, Any]:
    cases = [{"posrec": {"5": 0.1, "9": 0.4}, "locality_topk": {"1": one, "8": 0.9}} for one in first]
    return {"agg": {"locality_topk_mean": {"1": 0.4}}, "instances": cases}


def test_the_first_of_the_top_k_is_the_best_site_of_the_same_case() -> None:
    (one,) = findings(patched(0.4, 0.4))
    assert (one.field, one.cause, one.basis) == ("/agg/locality_topk_mean", "own effects", "record")
    assert one.fields == 2


def test_ranks_from_elsewhere_are_no_finding() -> None:
    """The site that other cases rank first is the best one here by accident at most."""
    found = check_rankings(Record("r", patched(0.4, 0.1)))
    assert (found.looked_at, found.findings) == (1, ())


def test_heads_have_their_effect_inside() -> None:
    case = {"write": {"1.2": {"rec": 0.3}, "1.3": {"rec": -0.1}}, "write_cumk": {"1": 0.3}}
    (one,) = findings({"instances": [case, case]})
    assert one.field == "/instances/0/write_cumk"
    only = {"write": {"1.2": {"rec": 0.3}}, "write_cumk": {"1": 0.3}}
    assert findings({"instances": [only, only]}) == ()  # of a single site nothing was chosen


def test_a_list_in_the_order_of_its_score() -> None:
    def ranked(*scores: float) -> dict[str, Any]:
        return {"read_heads_ranked": [{"head": str(i), "rec_mean": s} for i, s in enumerate(scores)]}

    (one,) = findings(ranked(0.5, 0.2, 0.2, 0.1))
    assert (one.field, one.value, one.cause) == (
        "/read_heads_ranked",
        "0.5 first of 4",
        "ranked by its score",
    )
    assert findings(ranked(0.5, 0.1, 0.2)) == ()
    assert findings({"read_heads": ranked(0.5, 0.2)["read_heads_ranked"]}) == ()


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"best_acc": 0.9, "acc_by_layer": {"1": 0.2, "2": 0.9, "3": 0.5}}, "/best_acc"),
        ({"best_single_auc": 1.0, "top_features_auc": [[7, 1.0], [9, 0.9], [2, 0.8]]}, "/best_single_auc"),
    ],
)
def test_a_best_score_is_the_largest_of_the_table_beside_it(document: dict[str, Any], field: str) -> None:
    (one,) = findings(document)
    assert (one.field, one.cause) == (field, "best of many")


@pytest.mark.parametrize(
    "document",
    [
        {"best_acc": 0.8, "acc_by_layer": {"1": 0.2, "2": 0.9, "3": 0.5}},
        {"best_acc": 0.9, "acc_by_layer": {"1": 0.9, "2": 0.5}},
        {"best_layer": 3, "acc_by_layer": {"1": 3, "2": 1, "3": 2}},
        {"best_acc": 0.9, "loss_by_layer": {"1": 0.2, "2": 0.9, "3": 0.5}},
        {"best_acc": "0.9", "acc_by_layer": {"1": 0.2, "2": 0.9, "3": 0.5}},
    ],
)
def test_a_best_score_from_elsewhere_is_no_finding(document: dict[str, Any]) -> None:
    assert findings(document) == ()


def test_figures_at_a_size_that_was_chosen_on_their_own_curve() -> None:
    curve = {"m": {"0": {"agree": 0.8}, "1": {"agree": 1.0}}, "k": {"0": {"agree": 1.0}}}
    document = {
        "e2": {
            "min_seam_equiv": {"m": 1, "k": 0},
            "seam_doseresponse": curve,
            "equivalence": {"m": {"agree": 1.0}, "k": {"agree": 1.0}},
        }
    }
    (one,) = findings(document)
    # At size 0 nothing was chosen: it is the first there is.
    assert (one.field, one.value) == ("/e2/equivalence", "1 of 2 lines")
    document["e2"]["equivalence"]["m"] = {"agree": 0.97}
    assert findings(document) == ()


def test_what_a_protocol_says_is_told_as_such_and_only_where_the_field_is() -> None:
    known = KnownRanking("specificity_", "/agg/topk", "its protocol ranks on the scored instances")
    document = {"agg": {"topk": {"1": 0.5}}}
    (one,) = findings(document, known, name="specificity_m.json")
    assert (one.basis, one.field) == ("protocol", "/agg/topk")
    assert findings(document, known, name="other.json") == ()
    assert findings({"agg": {}}, known, name="specificity_m.json") == ()
