"""Every arm through one visit, over a model whose cache is ours."""

from dataclasses import dataclass, replace

import torch

from experiments.tau2.settings import Tau2Settings
from experiments.tau2.splicing import Chunks
from experiments.tau2.turns import (
    About,
    ArmTurns,
    Before,
    Checks,
    VisitRun,
    alike,
    in_the_environment,
    opened_world,
)
from pkv_interp.agent.arms import FULL, PREFIX_CACHE
from pkv_interp.agent.tau2.acting import Answer, CachedAsker, Manner, Step, act, decide, right_world
from pkv_interp.agent.tau2.keeping import ARMS, FIELD_LAST, UNIFIED, Kept, Splice, opened
from pkv_interp.agent.tau2.package import Domain
from pkv_interp.agent.tau2.visits import Page, Span, Visit, field_spans, request_start
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.segments import Prompt


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


@dataclass(frozen=True, eq=False)
class Sessions:
    """A visit's sessions before its first request, by how arms open one.

    Attributes:
        pages: of the first turn, in the early layout and in the late one.
        first: prompt of the early one.
        fields: where its states stand.
        plain: the session of arms that keep one and are not named in ``other``.
        other: sessions that are opened otherwise, by arm.
    """

    pages: dict[bool, Page]
    first: Prompt
    fields: tuple[Span, ...]
    plain: Opening
    other: dict[str, Opening]

    @classmethod
    def of(cls, chunks: Chunks, visit: Visit, settings: Tau2Settings) -> "Sessions":
        """Open them; the requests of the visit are not read.

        Args:
            chunks: precompiled policies.
            visit: to be opened.
            settings: of the run.
        """
        runner, tokenizer = chunks.runner, chunks.tokenizer
        pages = first_pages(visit, settings)
        first, late = (pages[last].prompt(tokenizer) for last in (False, True))
        policy = first.spans["policy"]
        plain = Opening.of(runner, first.ids[: request_start(first)], policy)
        other = {
            UNIFIED.name: Opening.of(runner, plain.kept.ids, policy, chunks.splice(first)),
            FIELD_LAST.name: Opening.of(runner, late.ids[: request_start(late)], late.spans["policy"]),
        }
        return cls(pages, first, field_spans(pages[False], tokenizer), plain, other)

    def course(self, visit: Visit) -> "Sessions":
        """The same sessions for a visit that goes on otherwise, and so far is the same.

        Args:
            visit: its first request must ask as the first request of this one.
        """
        return replace(self, pages={last: replace(page, visit=visit) for last, page in self.pages.items()})


def first_pages(visit: Visit, settings: Tau2Settings) -> dict[bool, Page]:
    """The page of a visit's first turn, in the early layout (False) and in the late one (True)."""
    return {
        last: Page(visit, 0, visit.starts, last, chat=settings.chat, thinking=settings.model.thinking)
        for last in (False, True)
    }


def run_visit(
    chunks: Chunks,
    visit: Visit,
    domain: Domain,
    settings: Tau2Settings,
    *,
    sessions: Sessions | None = None,
    in_place: bool = True,
) -> VisitRun:
    """All arms through one visit; each has an environment and a history of its own.

    Args:
        chunks: precompiled policies.
        visit: to be run.
        domain: whose database its worlds are cut from.
        settings: of the run.
        sessions: of the visit, where they were opened before.
        in_place: also check a splice of the policy as it is computed after its own prefix.
    """
    runner, tokenizer = chunks.runner, chunks.tokenizer
    sessions = sessions or Sessions.of(chunks, visit, settings)
    pages, first, plain = sessions.pages, sessions.first, sessions.plain
    policy = first.spans["policy"]
    steps, arms = dict[str, list[Step]](), dict[str, ArmTurns]()
    scale = 1000 / (torch.get_num_threads() if runner.model.device.type == "cpu" else 1)
    best = right_world(opened_world(domain, pages[False]), pages[False])
    for arm in ARMS:
        start = sessions.other.get(arm.name, plain)
        world = opened_world(domain, pages[False])
        # States that stand last are in no place that could be renewed.
        fields = () if arm is FIELD_LAST else sessions.fields
        asker = CachedAsker(runner, tokenizer, arm, start.kept, fields)
        manner = Manner(arm, settings.erratum)
        mine = steps[arm.name] = act(asker, pages[arm is FIELD_LAST], manner, world, tokenizer)
        # Where the right answer writes nothing, a refused call leaves the same database: it is no success.
        whole = all(step.verdict.accepted for step in mine) and world.same(best)
        opening = (0, 0.0) if arm is FULL else (start.tokens, start.seconds)
        arms[arm.name] = ArmTurns.of(mine, scale, opening, whole=whole)
    asked = runner.extend(plain.kept.cache, first.ids[len(plain.kept.ids) :]).logits
    action, margin, is_action = decide(first, pages[False], tokenizer, asked)
    apart = None
    if in_place:
        here = opened(runner, plain.kept.ids, policy, chunks.in_place(first))[0]
        same = runner.extend(here.cache, first.ids[len(here.ids) :]).logits
        apart = float((same - asked).abs().max())
    return VisitRun(
        About.of(visit),
        Before.of(pages[False], Answer(action, margin, is_action, 0, 0.0)),
        arms,
        policy[1] - policy[0],
        Checks(
            alike(steps[PREFIX_CACHE.name], steps[FULL.name]),
            apart,
            *in_the_environment(domain, pages[False]),
        ),
    )
