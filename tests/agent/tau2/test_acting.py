"""Arms through a visit, in a made-up world that keeps books; no package is needed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
import torch

from pkv_interp.agent.arms import FULL, PREFIX_CACHE, Arm
from pkv_interp.agent.tau2.acting import Answer, CachedAsker, Manner, Step, act, opening, right_world
from pkv_interp.agent.tau2.keeping import ERRATUM, FIELD_LAST, FIELD_ONLY, STALE, opened
from pkv_interp.agent.tau2.package import Verdict, World
from pkv_interp.agent.tau2.records import Call, Look
from pkv_interp.agent.tau2.visits import Page, field_spans, request_start
from pkv_interp.cache.compute import Runner
from pkv_interp.prompts.segments import Prompt
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

    def read(self, look: Look) -> str:
        return f"what {look.call.tool} tells"

    def judge(self, call: Call, right: Call) -> Verdict:
        self.judged.append((call, right))
        return Verdict(call == right, call == right)


def ids_of_text() -> Any:
    return tiny("llama").tokenizer


def run(arm: Arm) -> tuple[list[Step], Books, Page]:
    loaded = tiny("llama")
    runner, tokenizer, books = Runner.of(loaded.model), loaded.tokenizer, Books()
    page = Page(visit(), 0, (0, 0), arm is FIELD_LAST)
    fields = field_spans(replace(page, last=False), tokenizer)
    prompt = page.prompt(tokenizer)
    kept, _ = opened(runner, prompt.ids[: request_start(prompt)], prompt.spans["policy"])
    asker = CachedAsker(runner, tokenizer, arm, kept, () if arm is FIELD_LAST else fields)
    return act(asker, page, Manner(arm, "tagged"), cast(World, books), tokenizer), books, page


@pytest.mark.parametrize("arm", [FULL, ERRATUM, FIELD_ONLY, FIELD_LAST, STALE], ids=lambda arm: arm.name)
def test_an_arm_calls_what_it_decides_and_the_world_changes_once(arm: Arm) -> None:
    steps, books, page = run(arm)
    records = page.visit.records
    assert books.arrived == [records[1].arrivals[1]]
    assert [right for _, right in books.judged] == [records[0].calls[0], records[1].calls[1]]
    assert [called for called, _ in books.judged] == [
        record.calls[step.answer.action or 0] for record, step in zip(records, steps, strict=True)
    ]
    assert [step.margin > 0 for step in steps] == [step.verdict.success for step in steps]


def test_arms_of_one_text_decide_alike_and_cost_what_they_must() -> None:
    steps: dict[str, Any] = {arm.name: run(arm)[0] for arm in (FULL, PREFIX_CACHE, ERRATUM, STALE)}

    def run_for(arm: str) -> list[int]:
        return [step.answer.tokens for step in steps[arm]]

    actions = {name: [step.answer.action for step in mine] for name, mine in steps.items()}
    assert actions["full"] == actions["prefix_cache"]
    assert run_for("full") == [s.length for s in steps["full"]]
    # Before the change nothing tells them apart; at it the erratum is run as well.
    assert run_for("erratum")[0] == run_for("stale")[0] == run_for("prefix_cache")[0]
    assert run_for("stale")[1] < run_for("erratum")[1] < run_for("full")[1]
    assert steps["erratum"][1].length > steps["full"][1].length


def test_a_visit_opens_in_its_states_and_its_right_end_has_every_right_call() -> None:
    page, books = Page(visit(), 0, (0, 0)), Books()
    assert opening(cast(World, books), page) is books
    first, second = page.visit.records
    assert books.arrived == [first.arrivals[0], second.arrivals[0]]
    right_world(cast(World, books), page)
    assert books.arrived[2:] == [first.calls[0], second.arrivals[1], second.calls[1]]


@dataclass
class Says:
    """A model that gives one answer, and keeps what it was asked."""

    answer: Answer
    asked: list[Prompt] = field(default_factory=list)
    turns: list[int] = field(default_factory=list)

    def ask(self, prompt: Prompt, page: Page) -> Answer:
        self.asked.append(prompt)
        self.turns.append(page.turn)
        return self.answer


def test_an_answer_that_names_no_action_calls_nothing_and_succeeds_never() -> None:
    books, asker = Books(), Says(Answer(None, 0.0, False, 1, 1.0))
    steps = act(asker, Page(visit(), 0, (0, 0)), Manner(STALE, "tagged"), cast(World, books), ids_of_text())
    assert books.judged == []
    assert [step.verdict for step in steps] == [Verdict(False, False)] * 2
    assert "refused" in asker.asked[1].text
    assert asker.turns == [0, 1]


def test_a_lookup_tells_what_the_environments_tool_tells_before_the_request() -> None:
    one = visit()
    again = replace(one, requests=tuple(replace(r, looked_up=r.changed) for r in one.requests))
    asker = Says(Answer(0, 1.0, True, 1, 1.0))
    act(asker, Page(again, 0, (0, 0)), Manner(STALE, "tagged"), cast(World, Books()), ids_of_text())
    line = f"{one.records[1].title} was looked up: status what get_order_details tells."
    assert line not in asker.asked[0].text
    assert line in asker.asked[1].text
    assert asker.asked[1].text.index(line) < asker.asked[1].text.index(one.records[1].request)


def test_answers_differ_by_logits_or_by_what_both_tell() -> None:
    first, second = (Answer(0, 1.0, True, 1, 1.0, told=told) for told in ({1: -0.5, 2: -1.0}, {1: -0.75}))
    assert first.apart(second) == second.apart(first) == pytest.approx(0.25)
    # A token that one of them does not tell is there no likelier than what it tells last.
    third = Answer(0, 1.0, True, 1, 1.0, told={3: -0.25, 4: -4.5})
    assert first.apart(third) == third.apart(first) == pytest.approx(4.0)
    assert first.apart(Answer(0, 1.0, True, 1, 1.0)) is None
    one, other = (Answer(0, 1.0, True, 1, 1.0, torch.tensor(x)) for x in ([0.0, 1.0], [0.5, -1.0]))
    assert one.apart(other) == 2.0
