"""Headlines over pairs right on both sides, on numbers with known answers."""

from __future__ import annotations

import pytest

from pkv_interp.records.tables import by_table
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section, right_on_both, with_right_pairs
from pkv_interp.run.scoring import Scorer
from tests.run.test_scoring import scorer

#: Margins of two pairs that are right on both sides, of one wrong on corrupt and of one wrong on clean.
CLEAN, CORRUPT = [4.0, 2.0, 4.0, -1.0], [-4.0, -2.0, 2.0, -3.0]


def half_way(part: Scorer) -> Section:
    """Right pairs recover half of their gap, the others all of it; the second headline needs no gate."""
    patched = [0.0 if b < 0.0 < a else a for a, b in zip(part.clean, part.corrupt, strict=True)]
    estimate = part.arm("half", patched)
    return [
        Headline("half", estimate, "half of the gap"),
        Headline("counted", estimate, "no mechanism", needs_gate=False),
    ], []


def test_a_right_pair_is_right_on_both_sides() -> None:
    right = right_on_both(scorer(CLEAN, CORRUPT))
    assert right.families == ["f0", "f1"]
    assert right.clean.tolist() == [4.0, 2.0]
    assert right.corrupt.tolist() == [-4.0, -2.0]


def test_every_mechanism_headline_has_its_figure_over_right_pairs() -> None:
    mine = scorer(CLEAN, CORRUPT)
    headlines, tables = with_right_pairs(half_way, mine)
    assert [headline.name for headline in headlines] == ["half", "counted"]
    (line,) = by_table(tables)["right_pairs"]
    assert line["headline"] == "half"
    assert line["value"] == pytest.approx(10 / 16)  # 4 + 2 of the right, 2 + 2 of the others, over 16
    assert (line["n_families"], line["n_instances"]) == (4, 4)
    assert line["right"] == pytest.approx(0.5)
    assert line["right_ci_low"] <= line["right"] <= line["right_ci_high"]
    assert (line["right_n_families"], line["right_n_instances"]) == (2, 2)
    assert len(mine.rows) == 4  # one arm over all pairs, and none twice


def test_where_all_pairs_are_right_both_figures_are_one() -> None:
    _, tables = with_right_pairs(half_way, scorer(CLEAN[:2], CORRUPT[:2]))
    (line,) = by_table(tables)["right_pairs"]
    over_all = [line["value"], line["ci_low"], line["ci_high"]]
    assert over_all == [line["right"], line["right_ci_low"], line["right_ci_high"]]


@pytest.mark.parametrize("kept", [1, 0])
def test_too_few_right_n_families_leave_the_line_empty(kept: int) -> None:
    start = 2 - kept
    _, tables = with_right_pairs(half_way, scorer(CLEAN[start:], CORRUPT[start:]))
    (line,) = by_table(tables)["right_pairs"]
    assert line["value"] > 0.5
    assert (line["right"], line["right_ci_low"], line["right_ci_high"]) == (None, None, None)
    assert (line["right_n_families"], line["right_n_instances"]) == (kept, kept)
