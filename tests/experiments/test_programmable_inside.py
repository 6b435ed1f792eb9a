"""Conflicts, hops, decodability and paths of the experiment on programmable caches, and what breaks them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from experiments.programmable import inside
from experiments.programmable.cases import Cases, build_cases
from experiments.programmable.closing import ClosedMargins, closed_of
from experiments.programmable.conflict import ConflictMargins
from experiments.programmable.decoding import (
    PATTERNS,
    PLACES,
    Decodable,
    QuadStates,
    decode,
    probed_layers,
    states_of,
)
from experiments.programmable.hops import HOPS, HopMargins, hops_of, layouts_of
from experiments.programmable.inside import Inside, check_inside
from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.cache import AttentionLayout
from pkv_interp.engine import Engine
from pkv_interp.tolerances import tolerance_of
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny


def small(**changes: object) -> ProgrammableSettings:
    made = compose("programmable", *runs.PROGRAMMABLE)
    assert isinstance(made, ProgrammableSettings)
    return made.model_copy(update=changes)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny("llama"))


@pytest.fixture(scope="module")
def cases(engine: Engine) -> Cases:
    return build_cases(small(), engine.loaded.tokenizer)


class TestHops:
    def test_each_template_has_its_rules_and_only_a_rule_can_be_a_link(self, cases: Cases):
        assert [case.wording for case in cases.hops] == [name for name in HOPS for _ in range(2)]
        lookup, *_, two = cases.hops
        assert "rule_linked" not in layouts_of(lookup)
        linked = layouts_of(two)["rule_linked"]
        assert linked is not None
        assert linked.links == (two.clean.spans["rule"],)
        alone = layouts_of(two)["decision_alone"]
        assert alone is not None
        assert alone.end == two.clean.decision

    def test_isolation_is_what_knockouts_make_and_a_layout_that_hides_nothing_is_not(
        self, engine: Engine, cases: Cases, monkeypatch: pytest.MonkeyPatch
    ):
        found = hops_of(engine, cases.hops[-1])
        assert found.apart < 1e-4
        assert found.margins["isolated"] != pytest.approx(found.margins["plain"], abs=1e-4)
        # The template's last rule stands after the field, and the decision token alone reads less.
        assert found.margins["decision_alone"] != pytest.approx(found.margins["isolated"], abs=1e-4)
        monkeypatch.setattr(AttentionLayout, "hidden", see_everything)
        assert hops_of(engine, cases.hops[-1]).apart > 1e-3


def see_everything(_: AttentionLayout, queries: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(queries), len(columns), dtype=torch.bool)


class TestDecoding:
    def test_an_isolated_field_leaves_no_trace_before_the_question(
        self, engine: Engine, cases: Cases, monkeypatch: pytest.MonkeyPatch
    ):
        found = states_of(engine, cases.quads[0], [1, 2])
        assert found.residuals.shape == (len(PATTERNS), 4, 2, len(PLACES), engine.spec.d_model)
        assert found.leak < 1e-4
        plain, isolated = found.residuals
        before = PLACES.index("before_question")
        assert np.abs(plain[0, :, before] - plain[3, :, before]).max() > 1e-3
        assert np.abs(isolated[0, :, -1] - isolated[3, :, -1]).max() > 1e-3
        monkeypatch.setattr(AttentionLayout, "hidden", see_everything)
        assert states_of(engine, cases.quads[0], [1, 2]).leak > 1e-3

    def test_what_is_written_is_read_in_families_that_were_not_trained_on(self):
        rng = np.random.default_rng(0)
        sign = np.array([1.0, -1.0, 1.0, -1.0])

        def state() -> QuadStates:
            values = rng.normal(size=(len(PATTERNS), 4, 1, len(PLACES), 6))
            values[0, :, 0, 1, 0] += 20 * sign
            return QuadStates(values, 0.0)

        names = [f"family {at}" for at in range(12)]
        found = decode([state() for _ in names], names, [3], 4, [np.random.default_rng(1)])
        assert found.right.shape == (2, 4, 1, 12)
        assert found.right[0, 1].mean() == 1.0
        others = [found.right[p, at].mean() for p in range(2) for at in range(4) if (p, at) != (0, 1)]
        assert max(others) < 0.8
        assert abs(found.shuffled[0, 1].mean() - 0.5) < 0.25

    @pytest.mark.parametrize(
        ("number", "n_layers", "layers"),
        [(6, 30, [5, 10, 15, 20, 25, 30]), (2, 2, [1, 2]), (9, 2, [1, 2]), (1, 4, [4])],
    )
    def test_the_last_layer_is_probed(self, number: int, n_layers: int, layers: list[int]):
        assert probed_layers(number, n_layers) == layers


class TestPaths:
    def test_a_field_that_nothing_sees_leaves_no_gap(self, engine: Engine, cases: Cases):
        found = closed_of(engine, cases.closed[0], 0, 2)
        assert found.cut_off < 1e-4
        assert abs(found.clean - found.corrupt) > 1e-3
        assert list(found.closed) == [
            "rule_field", "decision_field", "question_rule", "question_field", "block_field", "block_rule",
            "rule_random",
        ]  # fmt: skip
        assert found.closed["block_field"] != pytest.approx(found.closed["decision_field"], abs=1e-5)
        assert sum(found.attention.values()) == pytest.approx(1.0)
        assert all(0 < share < 1 for share in found.attention.values())


def found_by(**changes: Any) -> Inside:
    values: dict[str, Any] = {
        "conflict": [ConflictMargins(2.0, -2.0, [-2.0, 0.5])],
        "hops": [HopMargins({"plain": (1.0, -1.0)}, 1e-6)],
        "leak": 1e-6,
        "decodable": Decodable([], [], np.zeros((2, 4, 0, 0)), np.zeros((2, 4, 0, 0))),
        "closed": [ClosedMargins(2.0, -2.0, {}, 1e-6, {})],
    }
    return Inside(**values | changes)


def failed(**change: Any) -> set[str]:
    """Controls that a run does not pass in which one model has these findings."""
    told: set[str] = set()

    def control(name: str, value: float, expected: float, tolerance: float, _: str) -> None:
        if abs(value - expected) > tolerance:
            told.add(name)

    session: Any = SimpleNamespace(control=control, tolerance=tolerance_of("float32").for_logits_of(4.0))
    check_inside(session, {"gate": found_by(**change), "base": found_by()}, {"gate": [0.5], "base": [0.5]})
    return told


def test_one_known_answer_that_is_missed_stops_the_run() -> None:
    assert failed() == set()
    assert "conflict_ends_equal_patches" in failed(conflict=[ConflictMargins(2.0, -2.0, [-1.9, 0.5])])
    assert "conflict_ends_equal_patches" in failed(conflict=[ConflictMargins(2.0, -2.0, [-2.0, 0.6])])
    assert "isolation_equals_knockout" in failed(hops=[HopMargins({}, 0.1)])
    assert "isolated_field_leaves_no_trace" in failed(leak=0.1)
    assert "cut_off_field_leaves_no_gap" in failed(closed=[ClosedMargins(2.0, -2.0, {}, 0.1, {})])


def test_doses_are_measured_on_conflicts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inside, "conflict_of", lambda engine, _, strengths: (engine, strengths))
    asked: list[str] = []

    def each(stage: str, items: list[Any], work: Any, _: type) -> Any:
        asked.append(stage)
        return SimpleNamespace(of=lambda mine: [work(one) for one in mine if one in items])

    session: Any = SimpleNamespace(settings=small(strengths=(0.5, 1.0)), each=each)
    cases: Any = SimpleNamespace(pairs=["one", "two"])
    engine: Any = "an engine"
    found = inside.measure_conflict(session, lambda: engine, "dose a", cases)
    assert asked == ["dose a/conflict"]
    assert found == [("an engine", (0.0, 0.5, 1.0))] * 2
