"""Estimates, rows and the gate, on numbers with known answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pkv_interp.measure.competence import Decision
from pkv_interp.prompts.segments import Prompt
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.run.claims import EQUIVALENCE_FLOOR, Claim, equivalences
from pkv_interp.run.scoring import Scorer, Scoring, SideMargins
from pkv_interp.tasks import Case
from tests.run.toy import ToySettings


def scoring(random_weights: bool = False, floor: float = 1e-3) -> Scoring[ToySettings]:
    model: dict[str, Any] = {"dtype": "float32", "random_weights": random_weights}
    head = Head(model, (), {"margin": floor}, environment())
    return Scoring(ToySettings.model_validate({"model": "tiny-llama"}), head)


def case(family: str, instance: str = "i") -> Case:
    prompt = Prompt((1, 2, 3), "abc", ("a", "b", "c"), ("field",) * 3, {"field": (0, 1)})
    return Case(family, "held_out", instance, "if", "field", prompt, prompt, ("x", "y"), (1, 2))


def scorer(clean: list[float], corrupt: list[float], floor: float = 1e-3) -> Scorer:
    sides = [SideMargins(a, b) for a, b in zip(clean, corrupt, strict=True)]
    return scoring(floor=floor).on([case(f"f{i}") for i in range(len(clean))], sides)


def decision(family: str, match: bool, right: bool) -> Decision:
    return Decision(family, "i", match, 1.0 if right else -1.0, right, right)


def test_the_gate_asks_both_sides() -> None:
    one_sided = [decision(f, match, match) for f in "abcd" for match in (True, False) for _ in range(3)]
    result = scoring().gate(one_sided, 0.8)
    assert result.headline.estimate.value == 0.5
    assert result.competence.per_value == {"match": 1.0, "mismatch": 0.0}
    assert not result.passed
    assert not result.headline.needs_gate
    assert (result.table.match, result.table.mismatch, result.table.n_prompts) == (1.0, 0.0, 24)
    right = [decision(f, match, True) for f in "abcd" for match in (True, False)]
    assert scoring().gate(right, 0.8).passed


def test_random_weights_never_pass() -> None:
    right = [decision(f, match, True) for f in "abcd" for match in (True, False)]
    assert not scoring(random_weights=True).gate(right, 0.8).passed


def test_recovery_is_a_ratio_of_means() -> None:
    mine = scorer([4.0, 2.0], [0.0, 0.0])
    assert mine.recovery([2.0, 2.0]).value == pytest.approx(4 / 6)
    assert [e.value for e in mine.recoveries([[4.0, 0.0], [2.0, 0.0]])] == pytest.approx([1.0, 0.0])
    assert mine.ratios(np.array([[3.0], [3.0]]))[0].value == pytest.approx(1.0)


def test_an_arm_leaves_a_row_a_case_and_flags_near_ties() -> None:
    mine = scorer([4.0, 0.0005], [0.0, 0.0])
    found = mine.arm("half", [2.0, 0.0], layer=3, kept=[True, False])
    assert found.value == pytest.approx(0.5)  # the near tie is left out
    assert found.n_instances == 1
    first, second = mine.rows
    assert (first.arm, first.family, first.clean, first.patched) == ("half", "f0", 4.0, 2.0)
    assert first.extra == {"tokens": 3, "near_tie": False, "layer": 3, "kept": True}
    assert second.extra == {"tokens": 3, "near_tie": True, "layer": 3, "kept": False}


def test_where_all_are_near_ties_all_are_kept() -> None:
    mine = scorer([0.0004, 0.0005], [0.0, 0.0])
    assert mine.recovery([0.0004, 0.0005]).n_instances == 2


def test_claims_are_held_against_one_floor_and_measured_ones_stand_beside() -> None:
    mine = scorer([4.0] * 6, [0.0] * 6)
    inside, outside = np.full(6, 0.36), np.full(6, 0.44)  # a gap of 4 logits: 0.09 and 0.11 of it
    nothing, something = equivalences(
        [Claim("0", "still", inside, mine, "narrow"), Claim("0", "moved", outside, mine, "wide")],
        {"narrow": 0.01, "wide": 0.5},
    )
    assert (nothing.claim, nothing.equivalent) == ("still is about 0", True)
    assert (nothing.difference, something.difference) == (pytest.approx(0.09), pytest.approx(0.11))
    assert (something.equivalent, something.donors, something.donors_move) == (False, "wide", 0.5)
    assert nothing.floor == something.floor == EQUIVALENCE_FLOOR == 0.1
    assert nothing.p_holm >= nothing.p_value


@dataclass(frozen=True)
class Both:
    clean: float
    corrupt: float


def test_one_family_has_no_p_value() -> None:
    alone = scoring().on([case("a", "1"), case("a", "2")], [Both(1.0, 0.0), Both(1.0, 0.0)])
    assert alone.adjusted(np.ones((2, 3))) == [None, None, None]
    assert alone.recovery([1.0, 1.0]).ci_low is None
