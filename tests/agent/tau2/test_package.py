"""tau2-bench's own environments: what they refuse, and that every decision's right action is right there."""

from __future__ import annotations

import pytest

from experiments.tau2.cases import build_cases
from experiments.tau2.settings import Tau2Settings
from pkv_interp.agent.tau2.package import DOMAINS, Domain, World
from pkv_interp.agent.tau2.policy import sections
from pkv_interp.agent.tau2.records import DENY, Call, Gated
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.tokenizer import load_tokenizer

pytest.importorskip("tau2", reason="the extra 'tau2' is not installed")


@pytest.fixture(scope="module", params=DOMAINS)
def domain(request: pytest.FixtureRequest) -> Domain:
    return Domain.load(request.param)


def by_topic(domain: Domain, count: int) -> list[Gated]:
    """Some records of every topic."""
    seen: dict[str, list[Gated]] = {}
    for one in domain.records():
        seen.setdefault(one.topic.name, []).append(one)
    return [one for mine in seen.values() for one in mine[:count]]


def in_state(world: World, one: Gated, state: int) -> World:
    """The world with the record in the other state first, and then in this one."""
    world.arrive(one.arrivals[1 - state])
    world.arrive(one.arrivals[state])
    return world


def test_the_policy_has_every_section_that_a_topic_asks_for(domain: Domain) -> None:
    for topic in {one.topic for one in domain.records()}:
        text = sections(domain.policy, topic.headings)
        assert all(line in domain.policy for line in text.split("\n"))
        assert len(text) < len(domain.policy)


def test_right_calls_succeed_and_stale_ones_fail_in_either_state(domain: Domain) -> None:
    for one in by_topic(domain, 2):
        for state in (0, 1):
            world = in_state(domain.world(one.user), one, state)
            stale = world.copy().judge(one.calls[1 - state], one.calls[state])
            assert not stale.success, (one.instance, state)
            right = world.judge(one.calls[state], one.calls[state])
            assert right.success, (one.instance, state)


def test_its_reading_tools_tell_every_state(domain: Domain) -> None:
    for one in by_topic(domain, 2):
        for state in (0, 1):
            world = in_state(domain.world(one.user), one, state)
            before = world.copy()
            assert world.read(one.look) == one.states[state], one.instance
            assert world.same(before), one.instance


def test_tools_raise_on_the_states_that_they_check(domain: Domain) -> None:
    """Every retail tool, and the change of cabin; the policy itself says that the others do not check."""
    checked = [one for one in by_topic(domain, 1) if one.topic.name not in ("cancel", "grounded")]
    assert checked
    for one in checked:
        world = in_state(domain.world(one.user), one, 1)
        before = world.copy()
        assert not world.run(one.calls[0]), one.instance
        assert world.same(before), one.instance
        # What is held to be right and is refused makes a success of nothing, not even of doing nothing.
        verdict = world.judge(DENY, one.calls[0])
        assert (verdict.accepted, verdict.matches) == (True, False), one.instance


def test_tools_write_what_they_are_declared_to_write(domain: Domain) -> None:
    for one in by_topic(domain, 1):
        for state in (0, 1):
            world = in_state(domain.world(one.user), one, state)
            before = world.copy()
            assert world.run(one.calls[state]), (one.instance, state)
            assert world.same(before) != world.writes(one.calls[state]), (one.instance, state)


def test_a_part_of_the_database_says_what_the_whole_one_says(domain: Domain) -> None:
    one = by_topic(domain, 1)[0]
    for action in (0, 1):
        worlds = (in_state(world, one, 1) for world in (domain.world(one.user), domain.whole_world()))
        part, whole = (world.judge(one.calls[action], one.calls[1]) for world in worlds)
        assert part == whole


def test_worlds_are_apart_and_compared_by_the_environment(domain: Domain) -> None:
    one = by_topic(domain, 1)[0]
    first, second = domain.world(one.user), domain.world(one.user)
    assert first.same(second)
    in_state(first, one, 1 - one.found)
    assert not first.same(second)
    assert second.same(domain.world(one.user))


def test_a_denial_of_what_is_allowed_is_no_success_and_impossible_changes_are_told(domain: Domain) -> None:
    one = next(one for one in domain.records() if DENY in one.calls)
    state = 1 - one.calls.index(DENY)
    verdict = in_state(domain.world(one.user), one, state).judge(DENY, one.calls[state])
    assert (verdict.accepted, verdict.matches) == (True, False)
    with pytest.raises(PkvError, match="the environment refuses"):
        domain.world(one.user).arrive(
            Call.of("cancel_pending_order", order_id="#none", reason="x")
            if domain.name == "retail"
            else Call.of("cancel_reservation", reservation_id="none")
        )


@pytest.mark.slow
def test_there_are_two_hundred_decisions_and_every_right_action_is_right_in_the_environment() -> None:
    tokenizer = load_tokenizer(load_catalogue_entry("smollm2-135m-gate"))
    settings, decided = Tau2Settings(), 0
    for name in settings.domains:
        domain = Domain.load(name)
        cases = build_cases(domain, settings, tokenizer)
        assert cases.unaligned == 0
        for visit in cases.decisions:
            one, state = visit.records[0], visit.right(0)
            world = domain.world(one.user)
            for arrival in (visit.starts[0], state):
                world.arrive(one.arrivals[arrival])
            assert world.judge(one.calls[state], one.calls[state]).success, visit.instance
        starts = [visit.starts[0] for visit in cases.decisions]
        assert abs(sum(starts) / len(starts) - 0.5) < 0.05
        decided += len(cases.decisions)
    assert decided >= 200
