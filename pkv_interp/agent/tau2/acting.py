"""One arm through one visit: read the records, be asked, call a tool of the environment, hear its answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from pkv_interp.agent.arms import Arm
from pkv_interp.agent.tau2.keeping import Kept, turn
from pkv_interp.agent.tau2.package import Verdict, World
from pkv_interp.agent.tau2.visits import Page, Span
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt


@dataclass(frozen=True, eq=False)
class Answer:
    """What came back for one prompt.

    Attributes:
        action: index of the action that was decided, by the two words' first tokens; None where neither was
            named.
        margin: of the first action's token over the second's, in logits.
        is_action: greedy decoding would have written one of the two.
        tokens: run through the model for it.
        seconds: until the first token.
        logits: after the decision token, in float32; None where a server keeps them to itself.
        told: log-probabilities by token, of those that a server tells.
    """

    action: int | None
    margin: float
    is_action: bool
    tokens: int
    seconds: float
    logits: Float[Tensor, " vocab"] | None = None
    told: Mapping[int, float] = field(default_factory=dict)

    def apart(self, other: Answer) -> float | None:
        """Largest difference in logits, or in log-probabilities that are told; None where none are.

        What one tells and the other does not is there at most as likely as the last that is told: so far
        apart they are at least.
        """
        if self.logits is not None and other.logits is not None:
            return float((self.logits - other.logits).abs().max())
        if not (self.told and other.told):
            return None
        both = [abs(value - other.told[one]) for one, value in self.told.items() if one in other.told]
        pairs = ((self.told, other.told), (other.told, self.told))
        alone = [
            value - min(theirs.values())
            for mine, theirs in pairs
            for one, value in mine.items()
            if one not in theirs
        ]
        return max(0.0, *both, *alone)


class Asker(Protocol):
    """What an arm asks: a model with a cache of its own, or a server."""

    def ask(self, prompt: Prompt, page: Page) -> Answer:
        """Decide at the end of a page's prompt; what was computed is kept for the next one."""
        ...


@dataclass(frozen=True, eq=False)
class Step:
    """One turn of one arm.

    Attributes:
        answer: of the model.
        margin: of the right action over the other, in logits.
        verdict: what the environment says.
        length: of the prompt.
    """

    answer: Answer
    margin: float
    verdict: Verdict
    length: int


@dataclass(frozen=True)
class Manner:
    """How an arm goes through a visit.

    Attributes:
        arm: how the cache is kept up with the world.
        erratum: wording of the erratum that arms with errata append at a change.
    """

    arm: Arm
    erratum: str


class CachedAsker:
    """Asks a model whose cache is kept from turn to turn in an arm's way."""

    def __init__(
        self, runner: Runner, tokenizer: Any, arm: Arm, kept: Kept, fields: tuple[Span, ...]
    ) -> None:
        """Nothing is run yet.

        Args:
            runner: the model.
            tokenizer: of it.
            arm: how the cache is kept.
            kept: the opened session.
            fields: where the states stand; not read where the arm refreshes none.
        """
        self._runner, self._tokenizer, self._arm = runner, tokenizer, arm
        self._kept, self._fields = kept, fields

    def ask(self, prompt: Prompt, page: Page) -> Answer:
        """See `Asker`; on a CPU the clock is the process's own."""
        took, (done, tokens) = seconds(
            lambda: turn(self._runner, self._arm, self._kept, prompt.ids, self._fields),
            self._runner.model.device,
        )
        self._kept = Kept(prompt.ids, done.cache)
        action, margin, is_action = decide(prompt, page, self._tokenizer, done.logits)
        return Answer(action, margin, is_action, tokens, took, done.logits)


def decide(prompt: Prompt, page: Page, tokenizer: Any, logits: Tensor) -> tuple[int, float, bool]:
    """Index of the action decided, margin of the first action over the second, and whether greedy agrees.

    Args:
        prompt: of the page.
        page: the turn.
        tokenizer: of the model.
        logits: [vocab] after the prompt.
    """
    ids = page_ids(prompt, page, tokenizer)
    margin = float(token_margin(logits, ids))
    return (0 if margin > 0 else 1), margin, int(logits.argmax()) in ids


def page_ids(prompt: Prompt, page: Page, tokenizer: Any) -> tuple[int, int]:
    """The first token of each of a page's two actions, as the model would write it."""
    return action_ids(prompt, page.visit.asked(page.turn).topic.actions, tokenizer, first_token=True)


def act(asker: Asker, page: Page, manner: Manner, world: World, tokenizer: Any) -> list[Step]:
    """Run one arm through a visit; the world is changed.

    Args:
        asker: the model with the opened session, or a server.
        page: the first turn's, in this arm's layout.
        manner: the arm.
        world: in the states that the session opens in.
        tokenizer: of the model.
    """
    arm, visit, steps = manner.arm, page.visit, list[Step]()
    for at, request in enumerate(visit.requests):
        record, states = visit.asked(at), visit.states(at)
        stated = states if arm.current else visit.starts
        page = replace(page, turn=at, stated=stated)
        if request.changed:
            world.arrive(record.arrivals[states[request.record]])
            if arm.erratum:
                page = page.corrected(manner.erratum)
        if request.looked_up:
            page = page.told(record.told(world.read(record.look)))
        prompt = page.prompt(tokenizer)
        answer = asker.ask(prompt, page)
        right = visit.right(at)
        # An answer that names no action calls nothing, and is no denial either.
        verdict = Verdict(accepted=False, matches=False)
        if answer.action is not None:
            verdict = world.judge(record.calls[answer.action], record.calls[right])
        # The answer names neither state nor action, so it gives no decision away.
        page = page.told(f"{record.record}: {'done' if verdict.accepted else 'refused'}.")
        steps.append(Step(answer, answer.margin if right == 0 else -answer.margin, verdict, len(prompt)))
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
