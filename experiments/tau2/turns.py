"""What a visit leaves behind: every arm's turns, and what must be so in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from pkv_interp.agent.tau2.acting import Answer, Step, opening
from pkv_interp.agent.tau2.package import Domain, World
from pkv_interp.agent.tau2.visits import Page, Visit


@dataclass(frozen=True)
class About:
    """What a visit is, for a summary that has no package.

    Attributes:
        domain, topic, user, instance: as `Visit` has them.
        fields: name of the state that each turn is about.
        states: value of it at each turn.
        right: index of the right action at each turn.
        changed: whether it had changed right before.
        right_first: whether the menu named the right action first.
    """

    domain: str
    topic: str
    user: str
    instance: str
    fields: tuple[str, ...]
    states: tuple[str, ...]
    right: tuple[int, ...]
    changed: tuple[bool, ...]
    right_first: tuple[bool, ...]

    @classmethod
    def of(cls, visit: Visit) -> "About":
        """What is known of a visit beforehand."""
        turns = range(len(visit.requests))
        return cls(
            visit.records[0].domain,
            visit.records[0].topic.name,
            visit.user,
            visit.instance,
            tuple(visit.asked(t).label for t in turns),
            tuple(visit.asked(t).states[visit.right(t)] for t in turns),
            tuple(visit.right(t) for t in turns),
            tuple(one.changed for one in visit.requests),
            tuple(visit.requests[t].first == visit.right(t) for t in turns),
        )


@dataclass(frozen=True)
class Before:
    """The decision while the first state still holds; margin towards the action that is right then."""

    margin: float
    right: bool
    greedy_right: bool

    @classmethod
    def of(cls, page: Page, answer: Answer) -> "Before":
        """What a model says at the first request, had its record's state not changed."""
        right = page.visit.starts[page.visit.requests[0].record]
        found = answer.action == right
        return cls(answer.margin if right == 0 else -answer.margin, found, found and answer.is_action)


@dataclass(frozen=True)
class ArmTurns:
    """One arm over a visit's turns.

    Attributes:
        action: index of the action decided, -1 where the answer names none.
        accepted: no tool raised.
        matches: the database is as the right call leaves it, by the environment's comparison.
        greedy: greedy decoding would have written one of the two words.
        margin: in logits, towards the right action.
        tokens: run through the model for the turn.
        length: tokens of the prompt.
        ms: milliseconds until the first token; on a CPU the process's own time over its threads, of a server
            the client's.
        opening: tokens run before the first request.
        opening_ms: milliseconds that they took, on the clock of ``ms``.
        whole: no tool raised, and the database ends as right calls alone would have left it.
    """

    action: Int[np.ndarray, " turns"]
    accepted: Bool[np.ndarray, " turns"]
    matches: Bool[np.ndarray, " turns"]
    greedy: Bool[np.ndarray, " turns"]
    margin: Float[np.ndarray, " turns"]
    tokens: Int[np.ndarray, " turns"]
    length: Int[np.ndarray, " turns"]
    ms: Float[np.ndarray, " turns"]
    opening: int
    opening_ms: float
    whole: bool

    @classmethod
    def of(
        cls, steps: Sequence[Step], scale: float, opening: tuple[int, float], *, whole: bool
    ) -> "ArmTurns":
        """The turns of one arm.

        Args:
            steps: of it.
            scale: milliseconds to a second of its clock.
            opening: tokens run before the first request, and seconds of the clock that they took.
            whole: see the attribute.
        """
        return cls(
            action=np.array([-1 if (a := step.answer.action) is None else a for step in steps], np.int64),
            accepted=np.array([step.verdict.accepted for step in steps], bool),
            matches=np.array([step.verdict.matches for step in steps], bool),
            greedy=np.array([step.answer.is_action for step in steps], bool),
            margin=np.array([step.margin for step in steps], float),
            tokens=np.array([step.answer.tokens for step in steps], np.int64),
            length=np.array([step.length for step in steps], np.int64),
            ms=np.array([step.answer.seconds * scale for step in steps], float),
            opening=opening[0],
            opening_ms=opening[1] * scale,
            whole=whole,
        )


@dataclass(frozen=True)
class Checks:
    """What must be so in every visit.

    Attributes:
        prefix_cache_equals_full: largest difference in logits, over turns of one history; of a server in
            log-probabilities that it tells, None where it tells none.
        splice_in_place: the same at the first turn with the policy put back that was computed after its own
            prefix; None where it was not checked.
        stale_fails: share of actions that were right before a change and fail after it.
        right_succeeds: share of right actions that no tool refuses, and that change the database if they are
            to write and leave it alone if not.
    """

    prefix_cache_equals_full: float | None
    splice_in_place: float | None
    stale_fails: float
    right_succeeds: float


@dataclass(frozen=True)
class VisitRun:
    """One visit.

    Attributes:
        about: what it is.
        before: the first request's decision with nothing changed.
        arms: by name, those that were run.
        policy_tokens: tokens of the policy, which is spliced in.
        checks: what must be so.
    """

    about: About
    before: Before
    arms: dict[str, ArmTurns]
    policy_tokens: int
    checks: Checks


def opened_world(domain: Domain, page: Page) -> World:
    """An environment of its own in the states that a page's visit opens in."""
    return opening(domain.world(page.visit.user), page)


def alike(first: Sequence[Step], second: Sequence[Step]) -> float | None:
    """Largest difference in logits while both have the same history; None where neither tells any."""
    found: list[float | None] = []
    for one, other in zip(first, second, strict=True):
        found.append(one.answer.apart(other.answer))
        if one.answer.action != other.answer.action:  # by rounding, at a margin of nothing
            break
    return max((far for far in found if far is not None), default=None)


def in_the_environment(domain: Domain, page: Page) -> tuple[float, float]:
    """Shares of stale actions that fail and of right actions that succeed, by calling them.

    One world goes through the visit by right calls alone. That a right call does something is asked of the
    environment, which knows its writing tools: a call held against a second run of itself could not fail.
    """
    visit, stale, right = page.visit, list[bool](), list[bool]()
    world = opened_world(domain, page)
    for turn, request in enumerate(visit.requests):
        record, now = visit.asked(turn), visit.right(turn)
        if request.changed:
            world.arrive(record.arrivals[now])
            stale.append(not world.copy().judge(record.calls[1 - now], record.calls[now]).success)
        before = world.copy()
        accepted = world.run(record.calls[now])
        right.append(accepted and world.same(before) != world.writes(record.calls[now]))
    return (sum(stale) / len(stale) if stale else 1.0), sum(right) / len(right)
