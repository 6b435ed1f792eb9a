"""Prompts of visits and ways to keep their caches, on a tiny model and in a made-up shop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pkv_interp.agent.arms import FULL, PREFIX_CACHE
from pkv_interp.agent.tau2.keeping import ERRATUM, FIELD_ONLY, STALE, UNIFIED, Kept, opened, turn
from pkv_interp.agent.tau2.policy import sections
from pkv_interp.agent.tau2.records import Gated
from pkv_interp.agent.tau2.retail import retail_records
from pkv_interp.agent.tau2.visits import Page, Request, Visit, aligned, field_spans, request_start
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.errors import PkvError
from tests.agent.tau2.fake import POLICY, retail_tables
from tests.families import tiny

#: Model, opened session, ids of the turn, and places of the states.
Scene = tuple[Runner, Kept, tuple[int, ...], tuple[tuple[int, int], ...]]
RECORDS = [one for one in retail_records(retail_tables()) if one.topic.name == "refund" and one.user == "ann"]


def visit(
    records: tuple[Gated, ...] = tuple(RECORDS[:2]), changed: tuple[bool, ...] = (False, True)
) -> Visit:
    requests = tuple(
        Request(i, change, i % 2) for i, change in zip(range(len(records)), changed, strict=True)
    )
    policy = sections(POLICY, records[0].topic.headings)
    return Visit("here", records, (0,) * len(records), requests, policy, ("channel: chat",))


def page(last: bool = False) -> Page:
    return Page(visit(), 0, (0, 0), last)


def test_states_follow_the_changes() -> None:
    one = visit()
    assert [one.states(turn) for turn in (-1, 0, 1)] == [(0, 0), (0, 0), (0, 1)]
    assert [one.right(turn) for turn in (0, 1)] == [0, 1]


def test_a_prompt_has_policy_states_and_a_menu_in_the_order_asked_for() -> None:
    tokenizer = tiny("llama").tokenizer
    prompt = page().prompt(tokenizer)
    for text in ("user: ann", "## Cancel pending order", "status: pending", "Log", "cancel or return."):
        assert text in prompt.text
    assert "return or cancel." in replace(page(), turn=1).prompt(tokenizer).text
    start, end = prompt.spans["policy"]
    assert "".join(prompt.tokens[start:end]).startswith("## Cancel")
    assert prompt.spans["policy"][1] <= field_spans(page(), tokenizer)[0][0] < request_start(prompt)


def test_states_stand_after_the_log_in_the_last_layout() -> None:
    tokenizer = tiny("llama").tokenizer
    late = page(last=True).prompt(tokenizer)
    assert all(span[0] >= request_start(late) for span in field_spans(page(last=True), tokenizer))
    assert late.text.index("status of #W0: pending") > late.text.index("Log")


def test_an_erratum_and_the_tools_answers_stand_before_the_request() -> None:
    tokenizer = tiny("llama").tokenizer
    told = replace(page().told("#W0: done."), turn=1).corrected("tagged").prompt(tokenizer)
    assert "#W0: done.\n[STATE] status of #W2 = delivered" in told.text
    assert told.text.index("[STATE]") < told.text.index("The user wants")


def test_states_of_two_lengths_are_told() -> None:
    tokenizer = tiny("llama").tokenizer
    odd = replace(
        page(), visit=visit((replace(RECORDS[0], states=("pending", "not pending any more")),), (True,))
    )
    odd = replace(odd, stated=(0,))
    assert not aligned(odd, tokenizer)
    with pytest.raises(PkvError, match="differ in tokens"):
        field_spans(odd, tokenizer)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """An opened session, and the second turn's prompt with the new state in its place."""
    loaded = tiny("llama")
    runner, tokenizer = Runner.of(loaded.model), loaded.tokenizer
    first = page().prompt(tokenizer)
    kept, tokens = opened(runner, first.ids[: request_start(first)], first.spans["policy"])
    assert tokens == len(kept.ids)
    now = replace(page(), turn=1, stated=(0, 1)).prompt(tokenizer)
    return runner, kept, now.ids, field_spans(page(), tokenizer)


def test_a_prefix_cache_says_what_a_full_prefill_says_and_runs_less(scene: Scene) -> None:
    runner, kept, ids, fields = scene
    full, all_of_it = turn(runner, FULL, kept, ids, fields)
    cached, tokens = turn(runner, PREFIX_CACHE, kept, ids, fields)
    assert all_of_it == len(ids)
    assert tokens < len(ids) - fields[1][0] + 1
    torch.testing.assert_close(cached.logits, full.logits, atol=1e-4, rtol=0)


def test_only_the_field_is_run_again_in_place_and_what_follows_stays_stale(scene: Scene) -> None:
    runner, kept, ids, fields = scene
    full, _ = turn(runner, FULL, kept, ids, fields)
    edited, tokens = turn(runner, FIELD_ONLY, kept, ids, fields)
    width = fields[1][1] - fields[1][0]
    assert tokens == width + len(ids) - len(kept.ids)
    assert edited.cache.length == len(ids)
    assert float((edited.logits - full.logits).abs().max()) > 1e-4
    assert kept.ids[fields[1][0]] != ids[fields[1][0]]  # what was kept is as it was


def test_a_stale_turn_runs_the_request_alone(scene: Scene) -> None:
    runner, kept, _, fields = scene
    old = replace(page(), turn=1).prompt(tiny("llama").tokenizer)
    told = replace(page(), turn=1).corrected("tagged").prompt(tiny("llama").tokenizer)
    _, tokens = turn(runner, STALE, kept, old.ids, fields)
    _, more = turn(runner, ERRATUM, kept, told.ids, fields)
    assert 0 < tokens < more < len(old.ids)


def test_a_spliced_policy_is_not_run_again_and_equals_one_in_its_own_place(scene: Scene) -> None:
    runner, kept, ids, fields = scene
    tokenizer = tiny("llama").tokenizer
    first = page().prompt(tokenizer)
    start, end = first.spans["policy"]
    chunk = precompile(runner, tokenizer, first.ids[start:end], context=first.ids[:start], sink="prefix")
    spliced, tokens = opened(
        runner, kept.ids, (start, end), lambda prefix: (splice(runner, prefix, chunk), 0)
    )
    assert tokens == len(kept.ids) - (end - start)
    one, _ = turn(runner, UNIFIED, spliced, ids, fields)
    other, _ = turn(runner, UNIFIED, kept, ids, fields)
    torch.testing.assert_close(one.logits, other.logits, atol=1e-4, rtol=0)
