"""Episodes: schedules of the state, and orders of words that tell nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from pkv_interp.agent import EpisodeSizes, designs, episode
from pkv_interp.agent.episodes import first_places
from pkv_interp.errors import PkvError
from pkv_interp.tasks import HELD_OUT, families
from tests.agent.support import DESIGN, one
from tests.families import tiny


def test_the_state_changes_when_the_plan_says_and_back() -> None:
    made = one(turns=6)
    trigger, other = made.values
    assert [t.value for t in made.turns] == [trigger, other, other, trigger, trigger, trigger]
    assert [made.changed(t) for t in range(6)] == [False, True, False, True, False, False]
    assert [made.since_change(t) for t in range(6)] == [None, 0, 1, 0, 1, 2]
    late = one(design=replace(DESIGN, change=4, back=None, starts_at_trigger=False))
    assert [t.value for t in late.turns] == [other, other, other, trigger]


def test_the_place_of_the_right_action_goes_by_the_plan() -> None:
    for first in (True, False):
        made = one(design=replace(DESIGN, right_first=first))
        right = [made.actions[0 if t.value == made.trigger else 1] for t in made.turns]
        assert [t.menu[0] == r for t, r in zip(made.turns, right, strict=True)] == [
            first, not first, first, not first,
        ]  # fmt: skip


@pytest.mark.parametrize("turns", [4, 5, 6])
def test_plans_are_balanced(turns: int) -> None:
    made = designs(24, turns, seed=3)
    for name in ("starts_at_trigger", "right_first", "flipped"):
        assert sum(getattr(design, name) for design in made) == 12
    assert Counter(design.change for design in made) == {2: 8, 3: 8, 4: 8}
    again = [design for design in made if design.back is not None]
    assert all(design.change < design.back <= turns for design in again if design.back)
    assert len(again) == (8 if turns == 4 else 12)
    assert designs(24, turns, seed=3) == made != designs(24, turns, seed=4)


def test_gold_and_menu_are_balanced_over_a_plan() -> None:
    tokenizer = tiny("llama").tokenizer
    made = [
        episode(
            family, i, design, tokenizer, sizes=EpisodeSizes(4, 0, 3), wording="if_otherwise", seed=0
        )
        for i, design in enumerate(designs(24, 4, seed=0))
        for family in families(HELD_OUT)[i % 8 : i % 8 + 1]
    ]  # fmt: skip
    right_first, at_trigger = first_places(made)
    assert right_first == 0.5
    assert 0.35 <= at_trigger <= 0.65
    assert len({t.record for e in made for t in e.turns}) > 90
    assert {e.family.name for e in made} == set(HELD_OUT)
    assert {len(e.preface) for e in made} == {1, 2, 3}


def test_a_number_of_turns_out_of_range_is_refused() -> None:
    with pytest.raises(PkvError, match="an episode of 3 turns; choose 4 to 6"):
        designs(8, 3, seed=0)
