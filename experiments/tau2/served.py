"""The arms that change the prompt alone, asked of a server that somebody else runs."""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from experiments.tau2.arms import first_pages
from experiments.tau2.settings import Tau2Settings
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
from pkv_interp.agent.tau2.acting import Answer, Manner, Step, act, page_ids, right_world
from pkv_interp.agent.tau2.keeping import FIELD_LAST, PROMPT_ARMS
from pkv_interp.agent.tau2.package import Domain
from pkv_interp.agent.tau2.visits import Page, Visit, request_start
from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.serving.client import Client, Reply
from pkv_interp.serving.client import Prompt as Request


class Server(AbstractContextManager["Server"]):
    """A server that is asked one prompt at a time."""

    def __init__(self, url: str, engine: str) -> None:
        """Nothing is asked yet.

        Args:
            url: of the server, without ``/v1``.
            engine: whose dialect it speaks.
        """
        self._client, self._loop = Client(url, engine), asyncio.Runner()

    def __enter__(self) -> "Server":
        """Ask for the model's name.

        Raises:
            PkvError: it does not answer.
        """
        try:
            self._loop.run(self._client.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run(self._client.__aexit__())
        self._loop.close()

    def ask(self, ids: tuple[int, ...], salt: str) -> Reply:
        """One token after a prompt.

        Args:
            ids: of the prompt.
            salt: keeps what is read under it apart from all else, where the engine has salts.

        Raises:
            PkvError: there is no answer, or it cannot be told from it what was decided or computed.
        """
        reply = self._loop.run(self._client.complete(Request(ids, salt=salt)))
        if reply.failed == "no usage":
            raise PkvError(
                "the server does not tell how many tokens it had cached",
                "start vLLM with --enable-prompt-tokens-details",
            )
        if reply.failed:
            raise PkvError(f"the server gives no answer ({reply.failed})", "see its log")
        if reply.computed + reply.cached != len(ids):
            raise PkvError(
                f"the server read {reply.computed + reply.cached} tokens of a prompt of {len(ids)}",
                "start it with the model that model= names, whose ids prompts are sent as",
            )
        if not (reply.top or reply.said.strip()):
            raise PkvError(
                "the server tells neither log-probabilities nor a text, so nothing is decided",
                "start a server that answers /v1/completions with logprobs",
            )
        return reply


class ServedAsker:
    """Asks a server, which keeps what it has read."""

    def __init__(self, server: Server, tokenizer: Any, salt: str, *, afresh: bool) -> None:
        """Nothing is asked yet.

        Args:
            server: to be asked.
            tokenizer: of its model.
            salt: of this arm in this visit.
            afresh: every turn has a salt of its own, so that nothing that was read before is used.
        """
        self._server, self._tokenizer, self._salt, self._afresh = server, tokenizer, salt, afresh
        self._asked = 0

    def ask(self, prompt: Prompt, page: Page) -> Answer:
        """See `Asker`; the clock is the client's."""
        salt = f"{self._salt} {self._asked}" if self._afresh else self._salt
        self._asked += 1
        reply = self._server.ask(prompt.ids, salt)
        ids = page_ids(prompt, page, self._tokenizer)
        action, margin, is_action = decided(reply.top, reply.said, ids, self._tokenizer)
        return Answer(action, margin, is_action, reply.computed, reply.first, told=dict(reply.top))


def decided(
    top: Mapping[int, float], said: str, ids: tuple[int, int], tokenizer: Any
) -> tuple[int | None, float, bool]:
    """Index of the action decided, margin of the first over the second, and whether greedy names one.

    A server tells its likeliest tokens. Where one action is not among them, it is at most as likely as the
    last that is: the margin is then a bound. Where it tells none, the first token of its text decides, and
    the margin is 1, -1 or 0 and says no more than that.

    Args:
        top: log-probabilities of the likeliest tokens, by id.
        said: the first token of the answer as text.
        ids: of the two actions.
        tokenizer: of the model.
    """
    if not top:
        words = [tokenizer.decode([one]).strip() for one in ids]
        action = words.index(said.strip()) if said.strip() in words else None
        return action, {0: 1.0, 1: -1.0, None: 0.0}[action], action is not None
    if not top.keys() & set(ids):
        return None, 0.0, False
    least = min(top.values())
    margin = top.get(ids[0], least) - top.get(ids[1], least)
    action = 0 if margin > 0 or (margin == 0 and ids[1] not in top) else 1
    return action, margin, max(top, key=lambda one: top[one]) in ids


def run_served_visit(
    server: Server, tokenizer: Any, visit: Visit, domain: Domain, settings: Tau2Settings
) -> VisitRun:
    """Every arm that changes the prompt alone through one visit; the server's cache is its own.

    The server has read each session under a salt of its own before the first request, as caches are there
    before it in a run of ours. A full prefill has a salt for every turn.

    Args:
        server: to be asked.
        tokenizer: of the model that it runs.
        visit: to be run.
        domain: whose database its worlds are cut from.
        settings: of the run.
    """
    pages = first_pages(visit, settings)
    first = pages[False].prompt(tokenizer)
    steps, arms = dict[str, list[Step]](), dict[str, ArmTurns]()
    best = right_world(opened_world(domain, pages[False]), pages[False])
    for arm in PROMPT_ARMS:
        page, world = pages[arm is FIELD_LAST], opened_world(domain, pages[False])
        salt = f"{visit.instance} {arm.name}"
        opening = (0, 0.0)
        if arm is not FULL:
            prompt = page.prompt(tokenizer)
            read = server.ask(prompt.ids[: request_start(prompt)], salt)
            opening = (read.computed, read.first)
        asker = ServedAsker(server, tokenizer, salt, afresh=arm is FULL)
        mine = steps[arm.name] = act(asker, page, Manner(arm, settings.erratum), world, tokenizer)
        whole = all(step.verdict.accepted for step in mine) and world.same(best)
        arms[arm.name] = ArmTurns.of(mine, 1000.0, opening, whole=whole)
    asker = ServedAsker(server, tokenizer, f"{visit.instance} before", afresh=True)
    before, (start, end) = asker.ask(first, pages[False]), first.spans["policy"]
    return VisitRun(
        About.of(visit),
        Before.of(pages[False], before),
        arms,
        end - start,
        Checks(
            alike(steps[PREFIX_CACHE.name], steps[FULL.name]),
            None,
            *in_the_environment(domain, pages[False]),
        ),
    )
