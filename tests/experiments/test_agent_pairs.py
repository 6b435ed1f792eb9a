"""Which arm of the agent beats which: pairs on numbers with known answers, and beside the rows of a run."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.agent.compared import COMPARED_PHASES, dominating, in_order
from experiments.agent.tables import LAYOUTS, ArmPair
from pkv_interp.agent import ARMS
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.tables import rows_of
from pkv_interp.run.report import Report
from pkv_interp.stats import Estimate, Pair, holm
from tests.experiments.agent_examples import NAMES, small_settings, summed

LATE, EARLY = LAYOUTS[True], LAYOUTS[False]


@pytest.fixture(scope="module")
def report() -> Report:
    return summed(small_settings())


@pytest.fixture(scope="module")
def pairs(report: Report) -> dict[tuple[str, str, str, str], ArmPair]:
    lines = [line for line in report.tables if isinstance(line, ArmPair)]
    return {(line.layout, line.phase, line.first, line.second): line for line in lines}


def test_every_arm_is_compared_with_every_other_in_each_layout_and_phase(pairs: Any) -> None:
    assert sorted(arm.name for arm in in_order()) == sorted(NAMES)
    for layout in (LATE, EARLY):
        for phase in ("all", "changed"):
            found = {frozenset(key[2:]) for key in pairs if key[:2] == (layout, phase)}
            assert found == {frozenset(two) for two in combinations(NAMES, 2)}
    assert len(pairs) == 2 * 2 * 28


def test_differences_have_their_known_answers(pairs: Any) -> None:
    changed = pairs[LATE, "changed", "unified", "field_only"]
    assert changed.value == 1.0
    assert (changed.families_above, changed.families_below) == (8, 0)
    # An arm that is right in every family at every turn where the other is wrong has no spread.
    assert changed.p_holm == 0.0
    every = pairs[LATE, "all", "unified", "field_only"]
    assert every.value == pytest.approx(changed.n_instances / every.n_instances)
    one = pairs[LATE, "changed", "field_erratum", "erratum_only"]
    assert (one.families_above, one.families_below) == (1, 0)
    assert one.p_value > 0.05
    assert (one.ci_low, one.ci_high) != (one.value, one.value)
    assert pairs[LATE, "all", "unified", "stale"].n_instances == 8 * 3 * 4
    assert pairs[EARLY, "all", "unified", "stale"].n_instances == 8 * 2 * 4


def test_costs_are_those_of_whole_episodes_in_their_layout(pairs: Any) -> None:
    for phase in COMPARED_PHASES:
        assert pairs[LATE, phase, "unified", "prefix_cache"].seconds_ratio == pytest.approx(3.0)
        assert pairs[EARLY, phase, "unified", "prefix_cache"].seconds_ratio == pytest.approx(6.0)
        assert pairs[LATE, phase, "full", "prefix_cache"].tokens_ratio == pytest.approx(0.5)


def test_dominance_follows_from_both(pairs: Any) -> None:
    assert pairs[LATE, "all", "unified", "prefix_cache"].dominates == "unified"  # alike, and cheaper
    assert pairs[LATE, "all", "full", "prefix_cache"].dominates == "prefix_cache"
    assert pairs[EARLY, "all", "full", "prefix_cache"].dominates is None  # alike in both
    assert pairs[LATE, "all", "field_only", "prefix_cache"].dominates is None  # cheaper, and worse
    assert pairs[LATE, "all", "field_erratum", "field_only"].dominates == "field_erratum"  # better, no dearer
    assert pairs[LATE, "all", "field_erratum", "erratum_only"].dominates is None  # better in one family


def test_p_values_are_adjusted_within_a_layout_and_phase(pairs: Any) -> None:
    for layout in (LATE, EARLY):
        for phase in COMPARED_PHASES:
            lines = [line for key, line in pairs.items() if key[:2] == (layout, phase)]
            assert [one.p_holm for one in lines] == pytest.approx(holm([one.p_value for one in lines]))


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, ci_low=low, ci_high=high, n_families=8, n_instances=24)


SAME, CHEAPER, DEARER = estimate(1.01, 0.95, 1.07), estimate(1.3, 1.2, 1.4), estimate(0.8, 0.7, 0.9)


@pytest.mark.parametrize(
    ("gap", "p_holm", "costs", "wanted"),
    [
        (0.3, 0.01, (SAME, SAME), "a"),  # right more often, and no dearer
        (0.3, 0.01, (SAME, DEARER), None),  # a trade
        (0.3, 0.20, (SAME, SAME), None),  # neither advantage is shown
        (0.3, 0.20, (CHEAPER, SAME), "a"),  # no less often right in the sample, and cheaper
        (0.0, 1.00, (SAME, CHEAPER), "a"),
        (0.0, 1.00, (CHEAPER, DEARER), None),
        (0.0, 1.00, (DEARER, SAME), "b"),
        (0.0, 1.00, (SAME, SAME), None),
        (-0.3, 0.01, (SAME, SAME), "b"),
        (-0.3, 0.20, (CHEAPER, CHEAPER), None),  # lower in the sample, though that is not shown
        (-0.3, 0.20, (SAME, DEARER), "b"),
    ],
)
def test_what_dominates(gap: float, p_holm: float, costs: Any, wanted: str | None) -> None:
    pair = Pair("a", "b", estimate(gap, gap - 0.2, gap + 0.2), p_holm / 2, p_holm)
    assert dominating(pair, costs) == wanted


def test_headlines_set_the_unified_arm_beside_what_else_there_is(report: Report, pairs: Any) -> None:
    headline = report.stated()
    for other in ("prefix_cache", "field_only", "full"):
        line = pairs[LATE, "all", "unified", other]
        assert headline[f"success_unified_minus_{other}"].value == line.value
        changed = pairs[LATE, "changed", "unified", other]
        assert headline[f"success_changed_unified_minus_{other}"].value == changed.value
        assert headline[f"tokens_{other}_over_unified"].value == line.tokens_ratio
    assert headline["success_changed_unified_minus_field_only"].value == 1.0
    assert headline["ttft_prefix_cache_over_unified"].value == pytest.approx(3.0)
    assert headline["ttft_field_only_over_unified"].value == pytest.approx(1.5)
    assert headline["ttft_speedup_unified"].value == pytest.approx(6.0)
    assert headline["ttft_prefix_cache_over_unified"].n_instances == 8 * 3


def test_without_the_other_layout_only_one_is_compared() -> None:
    alone = small_settings().model_copy(update={"both_layouts": 0})
    lines = [line for line in summed(alone).tables if isinstance(line, ArmPair)]
    assert {line.layout for line in lines} == {LATE}
    assert len(lines) == 2 * 28


@pytest.fixture(scope="module")
def record(agent_results: Path) -> RunRecord:
    (found,) = load_records(agent_results)
    return found


def test_pairs_of_a_run_are_what_its_rows_say(record: RunRecord) -> None:
    rows = {arm.name: [row for row in record.rows if row.arm == arm.name] for arm in ARMS}

    def of(arm: str, name: str) -> np.ndarray:
        return np.array([float(row.extra[name] or 0.0) for row in rows[arm]])

    found = [line for line in rows_of(record, ArmPair) if (line.layout, line.phase) == (LATE, "all")]
    assert len(found) == 28
    for line in found:
        gap = of(line.first, "success") - of(line.second, "success")
        assert line.value == pytest.approx(gap.mean())
        families = np.array([row.family for row in rows[line.first]])
        assert line.families_above == sum(gap[families == name].sum() > 0 for name in set(families))
        for ratio, name in ((line.seconds_ratio, "ttft_ms"), (line.tokens_ratio, "tokens_run")):
            assert ratio == pytest.approx(of(line.second, name).sum() / of(line.first, name).sum())


def test_pairs_of_both_layouts_are_what_the_shares_say(record: RunRecord) -> None:
    table: Any = record.tables["layouts"]
    share = {
        (line["layout"], line["phase"], line["arm"]): line["value"]
        for line in table
        if line["quantity"] == "success"
    }
    lines = rows_of(record, ArmPair)  # all episodes of this run were run in both layouts
    assert {line.layout for line in lines} == {LATE, EARLY}
    for line in lines:
        one, two = (share[line.layout, line.phase, arm] for arm in (line.first, line.second))
        assert line.value == pytest.approx(one - two)
