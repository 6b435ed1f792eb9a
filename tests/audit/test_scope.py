"""Nodes of a document, and how many cases a figure rests on by what the record says."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.audit.scope import in_cases, sample_size
from pkv_interp.audit.tree import Node, count, number, share, walk


def at(document: Any, pointer: str) -> Node:
    (found,) = [node for node in walk(document) if node.pointer == pointer]
    return found


def test_nodes_come_in_the_order_of_the_document_with_their_pointers() -> None:
    document = {"a": [1, {"b/c": 2}], "d~": None}
    assert [node.pointer for node in walk(document)] == ["/", "/a", "/a/0", "/a/1", "/a/1/b~1c", "/d~0"]
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    assert sum(1 for _ in walk(deep)) == 5001


def test_a_number_in_a_path_has_the_name_of_what_it_counts() -> None:
    document = {"acc_by_layer": {"12": 0.5}, "suffix": {"0.05": {"mean": 1}}}
    assert at(document, "/acc_by_layer/12").name == "acc_by_layer"
    assert at(document, "/suffix/0.05/mean").name == "mean"
    assert at(document, "/suffix/0.05").name == "suffix"


def test_what_is_a_number() -> None:
    assert (number(1), number(0.5), number(True), number("1"), number(None)) == (1.0, 0.5, None, None, None)
    assert (number(float("nan")), number(float("inf")), number(10**400)) == (None, None, None)
    assert (share("3/4"), share("3/0"), share("x"), share(1)) == (0.75, None, None, 1.0)
    assert (count(4), count(0), count(2.5), count(True), count(["a", "b"])) == (4, None, None, None, 2)


@pytest.mark.parametrize(
    ("document", "pointer", "n"),
    [
        ({"n": 8, "acc": 0.5}, "/acc", 8),
        ({"n": 8, "by": {"x": {"acc": 0.5, "n": 3}}}, "/by/x/acc", 3),
        ({"n_tasks": 8, "by": {"x": {"acc": 0.5}}}, "/by/x/acc", 8),
        ({"tasks": ["a", "b"], "acc": 0.5}, "/acc", 2),
        ({"acc": 0.5, "dist": {"safe": 3, "unsafe": 1}}, "/acc", 4),
        ({"agg": {"acc": 0.5}, "instances": [{}, {}, {}]}, "/agg/acc", 3),
        ({"n_probe_samples": 72, "probe": {"1": {"acc": 0.5}}}, "/probe/1/acc", 72),
        ({"speedup": 2.0, "ours": {"n": 48}, "theirs": {"n": 48}}, "/speedup", 48),
        # Counts of something else are none.
        ({"n_primary": 18, "timing": {"acc": 0.5}}, "/timing/acc", None),
        ({"non_reasoning_n": 4, "reasoning": {"acc": 0.5}}, "/reasoning/acc", None),
        ({"n_downstream": 700, "acc": 0.5}, "/acc", None),
        ({"n": 0, "acc": 0.5}, "/acc", None),
        ({"rows": [{"acc": 0.5}, {"acc": 0.6}]}, "/rows/0/acc", None),
        ({"a": {"n": 3}, "b": {"acc": 0.5}}, "/b/acc", None),
    ],
)
def test_the_nearest_count_is_taken(document: Any, pointer: str, n: int | None) -> None:
    assert sample_size(at(document, pointer)) == n


def test_a_figure_of_a_single_case_is_told_from_one_over_cases() -> None:
    document = {"instances": [{"acc": 1}, {"acc": 0}], "rows": [{"acc": 1}, {"acc": 0}], "acc": 0.5}
    assert in_cases(at(document, "/instances/0/acc"))
    assert not in_cases(at(document, "/rows/0/acc"))
    assert not in_cases(at(document, "/acc"))
    assert in_cases(at([{"acc": 1}, {"acc": 0}], "/1/acc"))
