"""What can go wrong in service, done on purpose: nothing wrong may be served."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from experiments.serving.cases import Prepared
from experiments.serving.rig import Rig
from experiments.serving.scored import is_from_cache, served
from experiments.serving.settings import ERRATUM, FULL
from pkv_interp.errors import PkvError
from pkv_interp.serving.arrivals import closed_loop
from pkv_interp.serving.client import Client, Prompt, Reply

#: Clients at once.
_CLIENTS = 3
#: Tokens of an answer that a client leaves after the first.
_LONG = 64
#: Seconds in which a server has to notice that a client is gone.
_NOTICING = 60.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault, by its name."""

    name: str

    @property
    def instance(self) -> str:
        """Its name."""
        return self.name


@dataclass(frozen=True)
class FaultFound:
    """What happened.

    Attributes:
        asked: prompts that had to be answered in the end.
        answered: that were.
        failed: tries that failed on the way, by reason.
        in_full: answers that were computed in full though a cache was named, by reason.
        wrong: answers that are not what the model says after what they were served from.
        worst: largest difference of a log-probability from the model's own.
        unchecked: answers that told no log-probability.
        happened: the fault showed, so that what was tried is what was meant.
        told: in a few words, for the reader of the record.
        figures: what was measured beside that, by name.
    """

    asked: int
    answered: int
    failed: dict[str, int]
    in_full: dict[str, int]
    wrong: int
    worst: float
    unchecked: int
    happened: bool
    told: str
    figures: dict[str, float] = field(default_factory=dict)


class _Watch:
    """Counts what came of the requests of one fault."""

    def __init__(self, rig: Rig, allowed: float) -> None:
        self.rig, self.allowed, self.salt = rig, allowed, "faults"
        self.failed, self.in_full = Counter[str](), Counter[str]()
        self.asked = self.answered = self.wrong = self.unchecked = 0
        self.worst = 0.0

    async def ask(
        self, client: Client, one: Prepared, arm: str, again: Callable[[], Awaitable[None]] | None = None
    ) -> Reply:
        """Ask, and where that fails, once more after what ``again`` waits for."""
        self.asked += 1
        reply = await client.complete(self.rig.request(one.asks[arm], self.salt))
        if reply.failed and again is not None:
            self.failed[reply.failed] += 1
            await again()
            reply = await client.complete(self.rig.request(one.asks[arm], self.salt))
        if reply.failed:
            self.failed[reply.failed] += 1
            return reply
        self.answered += 1
        found = served(reply, one, arm)
        if found.in_full:
            self.in_full[found.in_full] += 1
        if found.error is None:
            self.unchecked += 1
        else:
            self.worst = max(self.worst, found.error)
            self.wrong += found.error > self.allowed
        return reply

    def found(self, happened: bool, told: str, **figures: float) -> FaultFound:
        return FaultFound(
            asked=self.asked,
            answered=self.answered,
            failed=dict(self.failed),
            in_full=dict(self.in_full),
            wrong=self.wrong,
            worst=self.worst,
            unchecked=self.unchecked,
            happened=happened,
            told=told,
            figures=figures,
        )


@dataclass(frozen=True)
class Trial:
    """What a fault is tried with.

    Attributes:
        rig: the server.
        scenes: prompts, more than it holds at once.
        arms: an erratum, and a cache that is handed in where that can be done.
        allowed: difference of a log-probability up to which an answer is the model's own.
    """

    rig: Rig
    scenes: Sequence[Prepared]
    arms: Sequence[str]
    allowed: float

    @property
    def requests(self) -> list[tuple[Prepared, str]]:
        """Every prompt by every arm."""
        return [(one, arm) for one in self.scenes for arm in self.arms]


async def client_leaves(trial: Trial) -> FaultFound:
    """Clients go away after the first token of a long answer; then everything is asked."""
    watch = _Watch(trial.rig, trial.allowed)
    left = 0
    async with trial.rig.client() as client:
        for one in trial.scenes:
            left += await client.leave(trial.rig.request(one.asks[FULL], watch.salt), _LONG)
        began = time.monotonic()
        while (busy := await client.busy()) and time.monotonic() - began < _NOTICING:
            await asyncio.sleep(0.05)
        freed = time.monotonic() - began
        for one, arm in trial.requests:
            await watch.ask(client, one, arm)
    told = f"{left} clients left mid-stream; {'still busy' if busy else 'idle'} after {freed:.1f} s"
    return watch.found(left == len(trial.scenes) and not busy, told, seconds_to_idle=freed)


async def server_killed(trial: Trial) -> FaultFound:
    """The server is killed under load and started again; who got no answer asks again."""
    process = trial.rig.process
    if process is None:
        raise PkvError("a server of somebody else's is not killed", "leave url out")
    watch, up, half = _Watch(trial.rig, trial.allowed), asyncio.Event(), asyncio.Event()
    requests = trial.requests
    down = 0.0

    async def restart() -> None:
        nonlocal down
        await half.wait()
        began = time.monotonic()
        try:
            await asyncio.to_thread(process.kill)
            await asyncio.to_thread(process.start)
        finally:
            # Of a server that does not come up again nobody waits for ever: awaiting this task tells why.
            up.set()
        down = time.monotonic() - began

    async with trial.rig.client() as client:
        await _read_all(client, trial.scenes, watch.salt)
        restarting = asyncio.create_task(restart())

        async def waited() -> None:
            half.set()
            await up.wait()

        async def ask(number: int) -> Reply:
            if number >= len(requests) // 2:
                half.set()
                await asyncio.sleep(0)
            return await watch.ask(client, *requests[number], again=waited)

        await closed_loop(len(requests), _CLIENTS, ask)
        half.set()
        await restarting
        # And all of it once more, by the server that was started anew.
        for one, arm in requests:
            await watch.ask(client, one, arm)
    failed = sum(watch.failed.values())
    told = f"killed half-way, up again after {down:.1f} s; {failed} tries failed and were asked again"
    return watch.found(failed > 0, told, seconds_down=down)


async def caches_removed(trial: Trial) -> FaultFound:
    """The folder of exported caches disappears under load: prompts are computed in full from then on.

    A cache that was there when its request was admitted, and is gone when its columns are read, ends the
    request with an error in vLLM, as nothing else could be served from its blocks; the client asks again.
    """
    watch, arms = _Watch(trial.rig, trial.allowed), trial.arms[1:]
    requests = [(one, arm) for _ in range(2) for one in trial.scenes for arm in arms]

    async def at_once() -> None:
        """Nothing has to be waited for."""

    async with trial.rig.client() as client:

        async def ask(number: int) -> Reply:
            if number == len(requests) // 2:
                await asyncio.to_thread(shutil.rmtree, trial.rig.caches)
            return await watch.ask(client, *requests[number], again=at_once)

        replies = [one.got for one in await closed_loop(len(requests), _CLIENTS, ask)]
    brought = [is_from_cache(reply, *asked) for reply, asked in zip(replies, requests, strict=True)]
    told = f"removed half-way; {sum(brought)} answers from caches, {len(brought) - sum(brought)} in full"
    return watch.found(any(brought) and not all(brought), told, from_caches=float(sum(brought)))


async def eviction(trial: Trial) -> FaultFound:
    """More prompts than the server holds, round after round, with caches handed in between them."""
    watch, shares = _Watch(trial.rig, trial.allowed), dict[str, float]()
    holds = len(trial.scenes) // 2
    async with trial.rig.client() as client:
        for name, scenes in (("fits", trial.scenes[: max(1, holds - 1)]), ("more", trial.scenes)):
            await _read_all(client, scenes, watch.salt)
            cached = computed = 0
            for _ in range(2):
                for one in scenes:
                    reply = await watch.ask(client, one, ERRATUM)
                    cached, computed = cached + reply.cached, computed + reply.computed
            shares[name] = cached / max(1, cached + computed)
        for one, arm in trial.requests:
            await watch.ask(client, one, arm)
    told = f"hit rate {shares['fits']:.3f} for prompts that fit and {shares['more']:.3f} for twice as many"
    return watch.found(shares["more"] < shares["fits"], told, **{f"hit_{k}": v for k, v in shares.items()})


async def _read_all(client: Client, scenes: Sequence[Prepared], salt: str) -> None:
    """Let the server read every prompt as it was before the change."""
    for one in scenes:
        await client.complete(Prompt(one.warm["early"], salt=salt))


#: By name, in the order in which they are tried.
FAULTS: dict[str, Callable[[Trial], Awaitable[FaultFound]]] = {
    "client_leaves": client_leaves,
    "server_killed": server_killed,
    "eviction": eviction,
    "caches_removed": caches_removed,
}


def tried(has_process: bool, injects: bool) -> list[Fault]:
    """The faults that can be tried.

    Args:
        has_process: the server was started here.
        injects: caches are handed in.
    """
    if not has_process:
        return [Fault("client_leaves")]
    return [Fault(name) for name in FAULTS if injects or name != "caches_removed"]


def try_fault(name: str, trial: Trial) -> FaultFound:
    """Try one, on a server of its own."""

    async def run() -> FaultFound:
        return await FAULTS[name](trial)

    return asyncio.run(run())


def copied(folder: Path, scenes: Sequence[Prepared], to: Path) -> Path:
    """A folder of the caches of some scenes, to be removed under load.

    Args:
        folder: of all caches.
        scenes: whose caches are copied.
        to: the new folder.
    """
    to.mkdir(parents=True)
    for one in scenes:
        for asked in one.asks.values():
            if asked.prompt.cache is not None:
                shutil.copy(folder / f"{asked.prompt.cache}.safetensors", to)
    return to
