"""One arm through one visit: read the records, be asked, call a tool of the environment, hear its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pkv_interp.agent.arms import Arm
from pkv_interp.agent.tau2.keeping import FIELD_LAST, Kept, turn
from pkv_interp.agent.tau2.package import Verdict, World
from pkv_interp.agent.tau2.visits import Page, Span
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt


@dataclass(frozen=True, eq=False)
class Step:
    """One turn of one arm.

    Attributes:
        action: index of the action that was decided, by the two words' first tokens.
        margin: logit of the right action's token minus the other's.
        is_action: greedy decoding would have written one of the two.
        verdict: what the environment says.
        logits: after the decision token, in float32.
        tokens: run through the model for this turn.
        length: of the prompt.
        seconds: until the first token; on a CPU the process's own time.
    """

    action: int
    margin: float
    is_action: bool
    verdict: Verdict
    logits: Float[Tensor, " vocab"]
    tokens: int
    length: int
    seconds: float


@dataclass(frozen=True)
class Manner:
    """How an arm goes through a visit.

    Attributes:
        arm: how the cache is kept up with the world.
        fields: where the states stand in the early layout.
        erratum: wording of the erratum that arms with errata append at a change.
    """

    arm: Arm
    fields: tuple[Span, ...]
    erratum: str


def decide(prompt: Prompt, page: Page, tokenizer: Any, logits: Tensor) -> tuple[int, float, bool]:
    """Index of the action decided, margin of the first action over the second, and whether greedy agrees.

    Args:
        prompt: of the page.
        page: the turn.
        tokenizer: of the model.
        logits: [vocab] after the prompt.
    """
    actions = page.visit.asked(page.turn).topic.actions
    ids = action_ids(prompt, actions, tokenizer, first_token=True)
    margin = float(token_margin(logits, ids))
    return (0 if margin > 0 else 1), margin, int(logits.argmax()) in ids


def act(
    runner: Runner,
    page: Page,
    manner: Manner,
    kept: Kept,
    world: World,
    tokenizer: Any,
) -> list[Step]:
    """Run one arm through a visit; the world is changed.

    Args:
        runner: the model.
        page: the first turn's, in this arm's layout.
        manner: the arm.
        kept: the opened session.
        world: in the states that the session opens in.
        tokenizer: of the model.
    """
    arm, fields = manner.arm, () if manner.arm is FIELD_LAST else manner.fields
    visit, steps = page.visit, list[Step]()
    for at, request in enumerate(visit.requests):
        record, states = visit.asked(at), visit.states(at)
        stated = states if arm.current else visit.starts
        page = replace(page, turn=at, stated=stated)
        if request.changed:
            world.arrive(record.arrivals[states[request.record]])
            if arm.erratum:
                page = page.corrected(manner.erratum)
        prompt = page.prompt(tokenizer)
        took, (done, tokens) = seconds(
            lambda p=prompt, k=kept: turn(runner, arm, k, p.ids, fields),
            runner.model.device,
        )
        kept = Kept(prompt.ids, done.cache)
        action, margin, is_action = decide(prompt, page, tokenizer, done.logits)
        right = visit.right(at)
        verdict = world.judge(record.calls[action], record.calls[right])
        # The answer names neither state nor action, so it gives no decision away.
        page = page.told(f"{record.record}: {'done' if verdict.accepted else 'refused'}.")
        steps.append(
            Step(
                action,
                margin if right == 0 else -margin,
                is_action,
                verdict,
                done.logits,
                tokens,
                len(prompt),
                took,
            )
        )
    return steps


def opening(world: World, page: Page) -> World:
    """The world in the states that a visit opens in.

    Args:
        world: as the database has it.
        page: any of the visit's.
    """
    visit = page.visit
    for record, start in zip(visit.records, visit.starts, strict=True):
        world.arrive(record.arrivals[start])
    return world


def right_world(world: World, page: Page) -> World:
    """The world after every right call, for the environment's check of a whole visit.

    Args:
        world: in the states that the visit opens in; it is changed.
        page: any of the visit's.
    """
    visit = page.visit
    for at, request in enumerate(visit.requests):
        record = visit.asked(at)
        if request.changed:
            world.arrive(record.arrivals[visit.right(at)])
        world.run(record.calls[visit.right(at)])
    return world
