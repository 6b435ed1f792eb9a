"""Arms through a visit, in a made-up world that keeps books; no package is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from pkv_interp.agent.arms import FULL, PREFIX_CACHE, Arm
from pkv_interp.agent.tau2.acting import Manner, Step, act, opening, right_world
from pkv_interp.agent.tau2.keeping import ERRATUM, FIELD_LAST, FIELD_ONLY, STALE, opened
from pkv_interp.agent.tau2.package import Verdict, World
from pkv_interp.agent.tau2.records import Call
from pkv_interp.agent.tau2.visits import Page, field_spans, request_start
from pkv_interp.cache.compute import Runner
from tests.agent.tau2.test_visits import visit
from tests.families import tiny


@dataclass
class Books:
    """Notes what is done in it; a call is accepted where it is the right one."""

    arrived: list[Call] = field(default_factory=list)
    judged: list[tuple[Call, Call]] = field(default_factory=list)

    def arrive(self, call: Call) -> None:
        self.arrived.append(call)

    def run(self, call: Call) -> bool:
        self.arrived.append(call)
        return True

    def judge(self, call: Call, right: Call) -> Verdict:
        self.judged.append((call, right))
        return Verdict(call == right, call == right)


def run(arm: Arm) -> tuple[list[Step], Books, Page]:
    loaded = tiny("llama")
    runner, tokenizer, books = Runner.of(loaded.model), loaded.tokenizer, Books()
    page = Page(visit(), 0, (0, 0), arm is FIELD_LAST)
    fields = field_spans(replace(page, last=False), tokenizer)
    prompt = page.prompt(tokenizer)
    kept, _ = opened(runner, prompt.ids[: request_start(prompt)], prompt.spans["policy"])
    manner = Manner(arm, fields, "tagged")
    return act(runner, page, manner, kept, cast(World, books), tokenizer), books, page


@pytest.mark.parametrize("arm", [FULL, ERRATUM, FIELD_ONLY, FIELD_LAST, STALE], ids=lambda arm: arm.name)
def test_an_arm_calls_what_it_decides_and_the_world_changes_once(arm: Arm) -> None:
    steps, books, page = run(arm)
    records = page.visit.records
    assert books.arrived == [records[1].arrivals[1]]
    assert [right for _, right in books.judged] == [records[0].calls[0], records[1].calls[1]]
    assert [called for called, _ in books.judged] == [
        record.calls[step.action] for record, step in zip(records, steps, strict=True)
    ]
    assert [step.margin > 0 for step in steps] == [step.verdict.success for step in steps]


def test_arms_of_one_text_decide_alike_and_cost_what_they_must() -> None:
    steps: dict[str, Any] = {arm.name: run(arm)[0] for arm in (FULL, PREFIX_CACHE, ERRATUM, STALE)}
    assert [s.action for s in steps["full"]] == [s.action for s in steps["prefix_cache"]]
    assert [s.tokens for s in steps["full"]] == [s.length for s in steps["full"]]
    # Before the change nothing tells them apart; at it the erratum is run as well.
    assert steps["erratum"][0].tokens == steps["stale"][0].tokens == steps["prefix_cache"][0].tokens
    assert steps["stale"][1].tokens < steps["erratum"][1].tokens < steps["full"][1].tokens
    assert steps["erratum"][1].length > steps["full"][1].length


def test_a_visit_opens_in_its_states_and_its_right_end_has_every_right_call() -> None:
    page, books = Page(visit(), 0, (0, 0)), Books()
    assert opening(cast(World, books), page) is books
    first, second = page.visit.records
    assert books.arrived == [first.arrivals[0], second.arrivals[0]]
    right_world(cast(World, books), page)
    assert books.arrived[2:] == [first.calls[0], second.arrivals[1], second.calls[1]]
