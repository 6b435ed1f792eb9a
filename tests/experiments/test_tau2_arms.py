"""All arms through one visit of a made-up shop: what its opening costs; no package is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any, cast

import pytest
import torch

from experiments.tau2.arms import VisitRun, run_visit
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from pkv_interp.agent.tau2.package import Domain, Verdict
from pkv_interp.agent.tau2.records import Call
from pkv_interp.cache.compute import Runner
from tests.agent.tau2.test_visits import visit
from tests.families import tiny


@dataclass
class Shop:
    """A world that takes every call, and is what was called in it."""

    done: list[Call] = field(default_factory=list)

    def arrive(self, call: Call) -> None:
        self.done.append(call)

    def run(self, call: Call) -> bool:
        self.done.append(call)
        return True

    def judge(self, call: Call, right: Call) -> Verdict:
        return Verdict(self.run(call), call == right)

    def same(self, other: Shop) -> bool:
        return self.done == other.done


class Town:
    """A domain of such worlds."""

    def world(self, _: str) -> Shop:
        return Shop()


def ran() -> VisitRun:
    """A visit of two requests, the second after a change."""
    loaded, settings = tiny("llama"), Tau2Settings(seam=2)
    chunks = Chunks(Runner.of(loaded.model), loaded.tokenizer, settings)
    return run_visit(chunks, visit(), cast(Domain, Town()), settings, in_place=False)


def test_every_session_is_opened_on_the_clock_but_that_of_the_arm_that_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = count(1)

    def seconds(work: Any, _: torch.device) -> tuple[float, Any]:
        return float(next(clock)), work()

    monkeypatch.setattr("experiments.tau2.arms.seconds", seconds)
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    arms = ran().arms
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
