"""All arms through one visit of a made-up shop: its costs and its controls; no package is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, cast

import pytest
import torch

from experiments.tau2.arms import VisitRun, run_visit
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from pkv_interp.agent.tau2.package import Domain, Verdict, World
from pkv_interp.agent.tau2.records import Call
from pkv_interp.cache.compute import Runner
from tests.agent.tau2.test_visits import visit
from tests.families import tiny


@dataclass
class Shop:
    """A world that is what was called in it.

    Attributes:
        done: the calls that it took.
        refused: tool that it refuses.
        idle: tools that are to write and do nothing.
    """

    done: list[Call] = field(default_factory=list)
    refused: str = ""
    idle: tuple[str, ...] = ()

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
