"""Every arm through one visit, and what must be so in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from pkv_interp.agent.arms import FULL, PREFIX_CACHE
from pkv_interp.agent.tau2.acting import Manner, Step, act, decide, opening, right_world
from pkv_interp.agent.tau2.keeping import ARMS, FIELD_LAST, Kept, Splice, opened
from pkv_interp.agent.tau2.package import Domain, World
from pkv_interp.agent.tau2.visits import Page, Span, Visit, field_spans, request_start
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.segments import Prompt


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


@dataclass(frozen=True)
class Before:
    """The decision while the first state still holds; margin towards the action that is right then."""

    margin: float
    right: bool
    greedy_right: bool


@dataclass(frozen=True)
class ArmTurns:
    """One arm over a visit's turns.

    Attributes:
        action: index of the action decided.
        accepted: no tool raised.
        matches: the database is as the right call leaves it, by the environment's comparison.
        greedy: greedy decoding would have written one of the two words.
        margin: in logits, towards the right action.
        tokens: run through the model for the turn.
        length: tokens of the prompt.
        ms: milliseconds until the first token; on a CPU the process's own time over its threads.
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


@dataclass(frozen=True, eq=False)
class Opening:
    """A session before its first request.

    Attributes:
        kept: its prompt and cache.
        tokens: run for it.
        seconds: that they took; a policy that is spliced in was computed long before and is not counted.
    """

    kept: Kept
    tokens: int
    seconds: float

    @classmethod
    def of(
        cls, runner: Runner, ids: tuple[int, ...], policy: Span, splice: Splice | None = None
    ) -> "Opening":
        """Open a session on the clock; the arguments are those of `opened`."""
        took, (kept, tokens) = seconds(
            lambda: opened(runner, ids, policy, splice),
            runner.model.device,
        )
        return cls(kept, tokens, took)


@dataclass(frozen=True)
class Checks:
    """What must be so in every visit.

    Attributes:
        prefix_cache_equals_full: largest difference in logits, over turns of one history.
        splice_in_place: the same at the first turn with the policy put back that was computed after its own
            prefix; None where it was not checked.
        stale_fails: share of actions that were right before a change and fail after it.
        right_succeeds: share of right actions that no tool refuses, and that change the database if they are
            to write and leave it alone if not.
    """

    prefix_cache_equals_full: float
    splice_in_place: float | None
    stale_fails: float
    right_succeeds: float


@dataclass(frozen=True)
class VisitRun:
    """One visit.

    Attributes:
        about: what it is.
        before: the first request's decision with nothing changed.
        arms: by name.
        policy_tokens: tokens of the policy, which is spliced in.
        checks: what must be so.
    """

    about: About
    before: Before
    arms: dict[str, ArmTurns]
    policy_tokens: int
    checks: Checks


def run_visit(
    chunks: Chunks, visit: Visit, domain: Domain, settings: Tau2Settings, *, in_place: bool = True
) -> VisitRun:
    """All arms through one visit; each has an environment and a history of its own.

    Args:
        chunks: precompiled policies.
        visit: to be run.
        domain: whose database its worlds are cut from.
        settings: of the run.
        in_place: also check a splice of the policy as it is computed after its own prefix.
    """
    runner, tokenizer = chunks.runner, chunks.tokenizer
    pages = {
        last: Page(visit, 0, visit.starts, last, chat=settings.chat, thinking=settings.model.thinking)
        for last in (False, True)
    }
    fields, first = field_spans(pages[False], tokenizer), pages[False].prompt(tokenizer)
    late = pages[True].prompt(tokenizer)
    policy = first.spans["policy"]
    plain = Opening.of(runner, first.ids[: request_start(first)], policy)
    kept = {
        "unified": Opening.of(runner, plain.kept.ids, policy, chunks.splice(first)),
        "field_last": Opening.of(runner, late.ids[: request_start(late)], late.spans["policy"]),
    }
    steps, arms = dict[str, list[Step]](), dict[str, ArmTurns]()
    scale = 1000 / (torch.get_num_threads() if runner.model.device.type == "cpu" else 1)
    best = right_world(_world(domain, pages[False]), pages[False])
    for arm in ARMS:
        start = kept.get(arm.name, plain)
        world = _world(domain, pages[False])
        page = pages[arm is FIELD_LAST]
        mine = steps[arm.name] = act(
            runner, page, Manner(arm, fields, settings.erratum), start.kept, world, tokenizer
        )
        # Where the right answer writes nothing, a refused call leaves the same database: it is no success.
        whole = all(step.verdict.accepted for step in mine) and world.same(best)
        arms[arm.name] = _turns(mine, scale, None if arm is FULL else start, whole)
    asked = runner.extend(plain.kept.cache, first.ids[len(plain.kept.ids) :]).logits
    apart = None
    if in_place:
        here = opened(runner, plain.kept.ids, policy, chunks.in_place(first))[0]
        same = runner.extend(here.cache, first.ids[len(here.ids) :]).logits
        apart = float((same - asked).abs().max())
    return VisitRun(
        _about(visit),
        _before(pages[False], first, tokenizer, asked),
        arms,
        policy[1] - policy[0],
        Checks(
            _alike(steps[PREFIX_CACHE.name], steps[FULL.name]),
            apart,
            *_in_the_environment(domain, pages[False]),
        ),
    )


def _world(domain: Domain, page: Page) -> World:
    return opening(domain.world(page.visit.user), page)


def _before(page: Page, prompt: Prompt, tokenizer: Any, logits: torch.Tensor) -> Before:
    """The decision at the first request, had its record's state not changed."""
    action, margin, is_action = decide(prompt, page, tokenizer, logits)
    right = page.visit.starts[page.visit.requests[0].record]
    return Before(margin if right == 0 else -margin, action == right, action == right and is_action)


def _about(visit: Visit) -> About:
    turns = range(len(visit.requests))
    return About(
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


def _turns(steps: Sequence[Step], scale: float, start: Opening | None, whole: bool) -> ArmTurns:
    return ArmTurns(
        action=np.array([step.action for step in steps], np.int64),
        accepted=np.array([step.verdict.accepted for step in steps], bool),
        matches=np.array([step.verdict.matches for step in steps], bool),
        greedy=np.array([step.is_action for step in steps], bool),
        margin=np.array([step.margin for step in steps], float),
        tokens=np.array([step.tokens for step in steps], np.int64),
        length=np.array([step.length for step in steps], np.int64),
        ms=np.array([step.seconds * scale for step in steps], float),
        opening=start.tokens if start else 0,
        opening_ms=start.seconds * scale if start else 0.0,
        whole=whole,
    )


def _alike(first: Sequence[Step], second: Sequence[Step]) -> float:
    """Largest difference in logits while both have the same history."""
    far = 0.0
    for one, other in zip(first, second, strict=True):
        far = max(far, float((one.logits - other.logits).abs().max()))
        if one.action != other.action:  # by rounding, at a margin of nothing
            break
    return far


def _in_the_environment(domain: Domain, page: Page) -> tuple[float, float]:
    """Shares of stale actions that fail and of right actions that succeed, by calling them.

    One world goes through the visit by right calls alone. That a right call does something is asked of the
    environment, which knows its writing tools: a call held against a second run of itself could not fail.
    """
    visit, stale, right = page.visit, list[bool](), list[bool]()
    world = _world(domain, page)
    for turn, request in enumerate(visit.requests):
        record, now = visit.asked(turn), visit.right(turn)
        if request.changed:
            world.arrive(record.arrivals[now])
            stale.append(not world.copy().judge(record.calls[1 - now], record.calls[now]).success)
        before = world.copy()
        accepted = world.run(record.calls[now])
        right.append(accepted and world.same(before) != world.writes(record.calls[now]))
    return (sum(stale) / len(stale) if stale else 1.0), sum(right) / len(right)
