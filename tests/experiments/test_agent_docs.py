"""What docs say in words of the agent's committed record stands in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from experiments.agent.tables import LAYOUTS, ArmPair, Cost, Design, LayoutShare
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import first_of, rows_of
from tests.committed import committed
from tests.documents import text_of

RESULTS = text_of("docs/results.md")
SAID = re.sub(r"\s+", " ", RESULTS[RESULTS.index("\n## Agent") : RESULTS.index("\n## Where the notes")])
LIMITS = re.sub(r"\s+", " ", text_of("docs/limits.md"))
LATE, EARLY = LAYOUTS[True], LAYOUTS[False]


@pytest.fixture(scope="module")
def record() -> RunRecord:
    (found,) = (one for one in committed("agent") if one.model_name == "smollm2-135m-gate")
    return found


@pytest.fixture(scope="module")
def pairs(record: RunRecord) -> dict[tuple[str, str, str, str], ArmPair]:
    lines = rows_of(record, ArmPair)
    return {(one.layout, one.phase, one.first, one.second): one for one in lines}


@pytest.fixture(scope="module")
def shares(record: RunRecord) -> dict[tuple[str, str, str], LayoutShare]:
    lines = [line for line in rows_of(record, LayoutShare) if line.quantity == "success"]
    return {(one.layout, one.phase, one.arm): one for one in lines}


def dominated(pairs: Any, layout: str, phase: str, arm: str) -> set[str]:
    """Arms that ``arm`` dominates."""
    mine = [one for key, one in pairs.items() if key[:2] == (layout, phase) and one.dominates == arm]
    return {one.second if one.first == arm else one.first for one in mine}


def test_the_unified_arm_and_the_prefix_cache_are_a_trade(pairs: Any) -> None:
    late, early = (pairs[layout, "all", "unified", "prefix_cache"] for layout in (LATE, EARLY))
    for line in (late, early):
        assert line.dominates is None
        assert line.ci_low < 0 < line.ci_high
        assert line.p_value > 0.05
    assert (
        f"it is {late.seconds_ratio:.2f} times as fast as the cache and {-late.value:.3f} less often" in SAID
    )
    assert f"below it in {late.families_below} of 8 families and above in {late.families_above};" in SAID
    assert f"{early.seconds_ratio:.2f} times as fast and {-early.value:.3f} less often right" in SAID
    assert f"below in {early.families_below} and above in {early.families_above}." in SAID
    for layout, beaten in ((LATE, {"stale", "field_erratum"}), (EARLY, {"stale", "field_only"})):
        assert dominated(pairs, layout, "all", "unified") == beaten
    assert not {
        one.dominates
        for key, one in pairs.items()
        if key[1] == "all" and one.first == "unified" and one.dominates != "unified"
    } - {None}


def test_the_field_alone_dominates_where_the_state_stands_after_the_policy(pairs: Any) -> None:
    assert dominated(pairs, LATE, "all", "field_only") == {"prefix_cache", "full", "field_erratum"}
    assert dominated(pairs, EARLY, "all", "field_only") == set()
    late = pairs[LATE, "all", "field_only", "prefix_cache"]
    assert late.seconds_ratio_ci_low < 1 < late.seconds_ratio_ci_high
    assert f"runs {late.tokens_ratio:.2f} times fewer tokens than the cache" in SAID
    beside = pairs[LATE, "all", "unified", "field_only"]
    assert f"{beside.seconds_ratio:.2f} times as fast as it and {-beside.value:.3f} less often right" in SAID
    early = pairs[EARLY, "all", "field_only", "prefix_cache"]
    assert early.p_holm < 0.05
    assert f"is {-early.value:.3f} below the cache, in {early.families_below} of 8 families" in SAID


def test_the_prefix_cache_dominates_full_in_both_layouts(pairs: Any, shares: Any) -> None:
    for layout in (LATE, EARLY):
        assert dominated(pairs, layout, "all", "prefix_cache") == {"full"}
    changed = pairs[EARLY, "changed", "unified", "prefix_cache"]
    assert changed.dominates == "unified"
    assert round(changed.value * changed.n_instances) == 1
    assert f"dominates the cache by one turn of {changed.n_instances}." in SAID
    other = {}
    for arm in ("unified", "prefix_cache"):
        whole, part = shares[EARLY, "all", arm], shares[EARLY, "changed", arm]
        left = whole.n_instances - part.n_instances
        other[arm] = (whole.value * whole.n_instances - part.value * part.n_instances) / left
    assert (
        f"on the other {left} turns it is right on {other['unified']:.2f}, "
        f"and the prefix cache on {other['prefix_cache']:.2f}." in SAID
    )


def test_when_the_chunk_pays(record: RunRecord) -> None:
    setup = first_of(record, Design).chunk_setup_ms
    costs = rows_of(record, Cost)
    last = max(line.turn for line in costs)
    ms = {line.arm: line.value for line in costs if line.turn == last}
    saved = ms["prefix_cache"] - ms["unified"]
    assert f"The chunk's own prefill, {setup:.0f} ms, is in none of these times." in SAID
    assert f"saves {saved:.0f} ms an episode on the cache" in SAID
    assert 2 * saved < setup < 3 * saved
    assert "so the chunk pays from the third session on." in SAID


def test_what_the_place_of_the_state_did_stands_in_limits(record: RunRecord, shares: Any) -> None:
    alone, unified = (
        [shares[layout, "all", arm].value for layout in (LATE, EARLY)] for arm in ("field_only", "unified")
    )
    assert f"field alone succeeds on {alone[0]:.2f} instead of {alone[1]:.2f} of turns" in LIMITS
    assert f"and the unified arm on {unified[0]:.2f} instead of {unified[1]:.2f}." in LIMITS
    assert record.config["erratum"] == "tagged"


def test_the_second_layout_is_told_to_be_a_subset(record: RunRecord) -> None:
    assert (record.config["both_layouts"], record.config["instances"]) == (2, 3)
    assert "The second layout is a subset, the first two of three episodes per domain." in SAID
