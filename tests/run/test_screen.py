"""Which candidates a screen keeps, when it refuses to go on, and what its gate asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.anatomy.settings import AnatomySettings
from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.competence import Decision
from pkv_interp.records.competence import LEAST_FAMILIES, Competence, PairsScreened
from pkv_interp.run.display import gate_line
from pkv_interp.run.screen import Candidates, Kept, first_of_each, keep
from pkv_interp.run.screen_report import counts as counts_of
from pkv_interp.run.screen_report import of_screen, screen_rows, screen_table
from pkv_interp.run.screened import Candidate, Decided, Screened, ScreenedPair
from pkv_interp.run.settings import checked
from pkv_interp.run.stage import Stage
from tests.run.test_scoring import scoring


@dataclass(frozen=True)
class Item:
    family: str
    instance: str


def decided(family: str, name: str, clean: bool, corrupt: bool) -> Decided:
    sides = [
        Decision(family, name, match, 1.0 if right else -1.0, right, right)
        for match, right in ((True, clean), (False, corrupt))
    ]
    return Decided(family, name, [ScreenedPair("if", sides[0].margin, -sides[1].margin, sides)])


def items(pattern: str) -> tuple[list[Item], Stage[Decided]]:
    """Items of ``family:sides`` words; a side is R (both right), W (both wrong), or h (one right)."""
    made, found = [], {}
    for word in pattern.split():
        family, sides = word.split(":")
        for i, side in enumerate(sides):
            made.append(Item(family, f"{family}{i}"))
            found[f"{family}{i}"] = decided(family, f"{family}{i}", side in "Rh", side == "R")
    return made, Stage(found)


def kept(pattern: str, per_family: int | None = 2, **more: Any) -> Kept[Item]:
    made, found = items(pattern)
    return keep({"held_out": Candidates(made, per_family, **more)}, found)


def names(result: Kept[Item]) -> list[str]:
    return [item.instance for item in result.items["held_out"]]


def test_the_first_right_ones_of_each_family_are_kept_in_order() -> None:
    result = kept("a:hRWRR b:WWhhh c:RhhhR d:hhhhR")
    assert names(result) == ["a1", "a3", "c0", "c4", "d4"]
    assert [
        (line.family, line.tried, line.right, line.wrong, line.used) for line in screen_table(result.screened)
    ] == [
        ("a", 5, 3, 1, 2),
        ("b", 5, 0, 2, 0),
        ("c", 5, 2, 0, 2),
        ("d", 5, 1, 0, 1),
    ]
    counts = counts_of(result.screened)
    assert (counts.tried, counts.right, counts.wrong, counts.used) == (20, 6, 3, 5)
    assert (counts.families_tried, counts.families_used) == (4, 3)
    assert len(result.screened.decisions) == 40
    rows = screen_rows(result.screened)
    assert all(of_screen(row) for row in rows)
    assert [row.instance for row in rows if row.extra["used"]] == names(result)
    assert [row.instance for row in rows if row.extra["right"]] == ["a1", "a3", "a4", "c0", "c4", "d4"]


def test_all_right_ones_are_kept_where_they_are_not_counted() -> None:
    assert names(kept("a:RRRW b:RhRR", None)) == ["a0", "a1", "a2", "b0", "b2", "b3"]


def test_families_with_too_few_and_items_that_do_not_fit_are_left_out() -> None:
    assert names(kept("a:RRR b:RhW c:hRR", at_least=2)) == ["a0", "a1", "c1", "c2"]
    odd = kept("a:RRRR b:RRRR", fits=lambda item, _: int(item.instance[1]) % 2 == 1)
    assert names(odd) == ["a1", "a3", "b1", "b3"]
    made, found = items("a:RRR b:hRR c:RRR d:RRR")
    splits = {
        "discovery": Candidates(made[:6], 1),
        "held_out": Candidates(made[6:], 1, fits=lambda _, before: len(before["discovery"]) == 2),
    }
    both = keep(splits, found)
    assert [item.instance for item in both.items["discovery"]] == ["a0", "b1"]
    assert names(both) == ["c0", "d0"]
    assert counts_of(both.screened).tried == 6  # those that rank are not among those that score


def test_families_are_counted_apart_in_each_group() -> None:
    by_parity = kept("a:RRRhRR b:RWhRhR", 1, group_of=lambda item: int(item.instance[1]) % 2)
    assert names(by_parity) == ["a0", "a1", "b0", "b3"]


@pytest.mark.parametrize("pattern", ["a:hhW b:WWW", "a:RRR b:WhW"])
def test_fewer_than_two_families_end_the_run_in_one_line(pattern: str) -> None:
    with pytest.raises(PkvError, match=r"right on both sides of \d of 6 pairs, and [01] of 2 families"):
        kept(pattern)


def test_nothing_that_ranks_ends_the_run() -> None:
    made, found = items("a:hW b:RR c:RR")
    with pytest.raises(PkvError, match="none of the 2 pairs that rank can be used"):
        keep({"discovery": Candidates(made[:2], 1), "held_out": Candidates(made[2:], 1)}, found)


def test_the_first_of_each_family_are_counted_by_family() -> None:
    made, _ = items("a:RRR b:R c:RR")
    assert [item.instance for item in first_of_each(made, 2)] == ["a0", "a1", "b0", "c0", "c1"]


def test_too_few_candidates_are_refused_before_a_model_loads() -> None:
    with pytest.raises(PkvError, match="candidates=2 are fewer than instances=3"):
        checked(CircuitSettings, {"screen": "both_sides", "candidates": 2})
    with pytest.raises(PkvError, match="candidates=2 are fewer than ranking_instances=4"):
        checked(AnatomySettings, {"screen": "both_sides", "candidates": 2, "ranking_instances": 4})
    with pytest.raises(PkvError, match="screen"):
        checked(CircuitSettings, {"screen": "clean_side"})
    # Without a screen nothing reads them.
    assert checked(CircuitSettings, {"candidates": 2}).tried(3) == 3
    assert checked(CircuitSettings, {"screen": "both_sides"}).tried(3) == 6


def pool(pattern: str, per_family: int = 2) -> Screened:
    return kept(pattern, per_family).screened


SIX = " ".join(f"{family}:RRRRRh" for family in "abcdef")


def test_the_gate_of_a_screen_asks_for_families_and_not_for_the_threshold() -> None:
    nothing: list[Decision] = []
    result = scoring().gate(nothing, 0.99, pool(SIX))
    assert result.passed
    # Competence is of all candidates: of twelve prompts a family, eleven are right.
    assert result.headline.estimate.value == pytest.approx(11 / 12)
    assert result.competence.per_value == {"match": 1.0, "mismatch": pytest.approx(5 / 6)}
    assert result.table.n_prompts == 72
    assert result.competence.basis == "pairs right on both sides (30 of 36 tried, 12 used)"
    assert (len(result.screen), len(result.rows)) == (6, 36)
    assert "stated on pairs right on both sides (30 of 36 tried, 12 used), 6 families" in gate_line(
        result.competence
    )
    five = scoring().gate(nothing, 0.0, pool(SIX.replace("f:RRRRRh", "f:hhhhhh")))
    assert not five.passed
    assert "no mechanism figures are stated" in gate_line(five.competence)
    assert not scoring(random_weights=True).gate(nothing, 0.0, pool(SIX)).passed


def test_a_model_that_guesses_does_not_pass_though_some_pairs_are_right() -> None:
    guessing = " ".join(f"{family}:{'RWhRWh' if i % 2 else 'WRhWRW'}" for i, family in enumerate("abcdefgh"))
    result = scoring().gate([], 0.0, pool(guessing))
    assert result.competence.screen is not None
    assert result.competence.screen.families_used == 8
    assert not result.passed


def test_without_a_screen_the_gate_is_what_it_was() -> None:
    right = [d for family in "abc" for d in decided(family, "i", True, True).decisions]
    for nothing in (None, Screened()):
        result = scoring().gate(right, 0.8, nothing)
        assert result.passed
        assert result.competence.screen is None
        assert result.competence.basis == ""
        assert (result.screen, result.rows) == ([], [])
        assert (
            gate_line(result.competence)
            == "competence gate passed (match 1.00, mismatch 1.00; threshold 0.80)"
        )


def test_a_record_cannot_claim_to_have_passed() -> None:
    good = scoring().gate([], 0.99, pool(SIX)).competence.model_dump()
    assert Competence.model_validate(good).passed
    few = good | {"screen": good["screen"] | {"families_used": LEAST_FAMILIES - 1}}
    with pytest.raises(ValidationError, match="5 families are used"):
        Competence.model_validate(few)
    low = good | {"accuracy": good["accuracy"] | {"ci_low": 0.5}}
    with pytest.raises(ValidationError, match="no better than guessing"):
        Competence.model_validate(low)
    alone = good | {"screen": None}
    with pytest.raises(ValidationError, match=r"is below 0\.99"):
        Competence.model_validate(alone)


@pytest.mark.parametrize(
    "change", [{"used": 7}, {"right": 8, "wrong": 3}, {"families_used": 5}, {"families_tried": 11}]
)
def test_counts_do_not_contradict_each_other(change: dict[str, int]) -> None:
    good = {"tried": 10, "right": 6, "wrong": 1, "used": 4, "families_tried": 5, "families_used": 4}
    PairsScreened(**good)
    with pytest.raises(ValidationError):
        PairsScreened(**good | change)


def test_a_candidate_of_several_pairs_is_right_where_all_are() -> None:
    one, other = decided("a", "i", True, True), decided("a", "i", True, False)
    both = Decided("a", "i", [*one.pairs, *other.pairs])
    assert (one.right, other.right, both.right, both.wrong) == (True, False, False, False)
    arms = [row.arm for row in screen_rows(Screened([Candidate("held_out", both, False)]))]
    assert arms == ["screened_1", "screened_2"]
