"""All arms through one visit of a made-up shop: its costs and its controls; no package is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import numpy as np
import pytest
import torch

from experiments.tau2.arms import Sessions, run_visit
from experiments.tau2.episodes import COURSES, course_of, run_episode, told_by_tools
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from experiments.tau2.turns import VisitRun
from pkv_interp.agent.tau2.package import Domain, Verdict, World
from pkv_interp.agent.tau2.records import Call, Look
from pkv_interp.agent.tau2.visits import Visit
from pkv_interp.cache.compute import Runner
from tests.agent.tau2.test_visits import RECORDS, visit
from tests.families import tiny


@dataclass
class Shop:
    """A world that is what was called in it.

    Attributes:
        done: the calls that it took.
        refused: tool that it refuses.
        idle: tools that are to write and do nothing.
        tells: its reading tool tells the state that arrived last.
    """

    done: list[Call] = field(default_factory=list)
    refused: str = ""
    idle: tuple[str, ...] = ()
    tells: bool = False

    def copy(self) -> Shop:
        return replace(self, done=list(self.done))

    def arrive(self, call: Call) -> None:
        self.done.append(call)

    def run(self, call: Call) -> bool:
        if call.tool == self.refused:
            return False
        if call.tool not in (None, *self.idle):
            self.done.append(call)
        return True

    def read(self, look: Look) -> str:
        record = next(one for one in RECORDS if one.look == look)
        states = [record.states[record.arrivals.index(one)] for one in self.done if one in record.arrivals]
        return states[-1] if self.tells else "unknown"

    def writes(self, call: Call) -> bool:
        return call.tool is not None

    def judge(self, call: Call, right: Call) -> Verdict:
        return World.judge(cast(World, self), call, right)

    def same(self, other: Shop) -> bool:
        return self.done == other.done


@dataclass
class Town:
    """A domain of copies of one such world."""

    shop: Shop

    def world(self, _: str) -> Shop:
        return self.shop.copy()


def ran(shop: Shop) -> VisitRun:
    """A visit of two requests, the second after a change: the order is to be cancelled, then returned."""
    loaded, settings = tiny("llama"), Tau2Settings(seam=2)
    chunks = Chunks(Runner.of(loaded.model), loaded.tokenizer, settings)
    return run_visit(chunks, visit(), cast(Domain, Town(shop)), settings, in_place=False)


def test_every_session_is_opened_on_the_clock_but_that_of_the_arm_that_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = count(1)

    def seconds(work: Any, _: torch.device) -> tuple[float, Any]:
        return float(next(clock)), work()

    monkeypatch.setattr("experiments.tau2.arms.seconds", seconds)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    arms = ran(Shop()).arms
    assert {name: one.opening_ms / 1000 for name, one in arms.items()} == {
        "full": 0.0,
        "prefix_cache": 1.0,
        "erratum": 1.0,
        "field_only": 1.0,
        "field_erratum": 1.0,
        "field_last": 3.0,
        "unified": 2.0,
        "stale": 1.0,
    }
    assert [name for name, one in arms.items() if not one.opening] == ["full"]


@pytest.mark.parametrize(
    ("shop", "stale_fails", "right_succeeds"),
    [
        (Shop(), 1.0, 1.0),
        (Shop(refused="return_delivered_order_items"), 1.0, 0.5),
        (Shop(idle=("return_delivered_order_items",)), 1.0, 0.5),
        (Shop(idle=("return_delivered_order_items", "cancel_pending_order")), 0.0, 0.0),
    ],
    ids=["taken", "refused", "idle", "all_alike"],
)
def test_right_actions_are_really_made_in_the_world_of_the_visit(
    shop: Shop, stale_fails: float, right_succeeds: float
) -> None:
    checks = ran(shop).checks
    assert (checks.stale_fails, checks.right_succeeds) == (stale_fails, right_succeeds)


def test_courses_share_what_was_opened_and_run_as_if_they_did_not() -> None:
    loaded, settings = tiny("llama"), Tau2Settings()
    chunks = Chunks(Runner.of(loaded.model), loaded.tokenizer, settings)
    one, town = visit(visit().records[:1], (True,)), cast(Domain, Town(Shop(tells=True)))
    sessions = Sessions.of(chunks, one, settings)

    def run(course: Visit) -> VisitRun:
        return run_visit(chunks, course, town, settings, sessions=sessions.course(course), in_place=False)

    found = run_episode(one, town, run)
    assert list(found.courses) == list(COURSES)
    assert found.told == 1.0
    for course, shared in found.courses.items():
        alone = run_visit(chunks, course_of(one, course), town, settings, in_place=False)
        assert shared.about == alone.about
        for name, arm in alone.arms.items():
            np.testing.assert_array_equal(shared.arms[name].action, arm.action)
            np.testing.assert_array_equal(shared.arms[name].tokens, arm.tokens)
            np.testing.assert_allclose(shared.arms[name].margin, arm.margin, atol=1e-5)
    quiet, changed, looked_up = found.courses.values()
    assert (quiet.about.right, changed.about.right, looked_up.about.right) == ((0,), (1,), (1,))
    # Nothing to tell and nothing to renew; after the change there is, and what is looked up is read by all.
    for name in ("prefix_cache", "erratum", "field_only", "field_erratum"):
        assert quiet.arms[name].tokens[0] == quiet.arms["stale"].tokens[0]
        assert changed.arms[name].tokens[0] > changed.arms["stale"].tokens[0]
    assert all(looked_up.arms[name].length[0] > arm.length[0] for name, arm in changed.arms.items())


def test_a_tool_that_tells_another_state_is_noticed() -> None:
    record = visit().records[0]
    assert told_by_tools(cast(World, Shop(tells=True)), record) == 1.0
    assert told_by_tools(cast(World, Shop()), record) == 0.0
