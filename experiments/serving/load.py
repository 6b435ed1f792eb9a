"""Capacity, and load under and over it: one run of one arm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from experiments.serving.cases import Prepared
from experiments.serving.rig import Rig
from experiments.serving.scored import Served, served
from pkv_interp.serving.arrivals import closed_loop, open_loop, poisson
from pkv_interp.serving.client import Reply
from pkv_interp.serving.counters import Counted
from pkv_interp.streams import stream


@dataclass(frozen=True)
class Cell:
    """One run of one arm.

    Attributes:
        arm: what is sent.
        run: number of the repeat; the same repeat has the same order and pattern of arrivals in every arm.
        load: rate as a share of the arm's capacity; None where capacity is measured.
    """

    arm: str
    run: int
    load: float | None = None

    @property
    def instance(self) -> str:
        """Its name, unique in its stage."""
        return f"{self.arm}/{'capacity' if self.load is None else f'{self.load:g}'}/{self.run}"


@dataclass(frozen=True)
class LoadRun:
    """What came of one run.

    Attributes:
        rate: requests a second that arrived on average; None where as many as were answered.
        seconds: from the start to the last answer.
        requests: in the order in which they were sent.
        counters: what the server's own counters rose by.
    """

    rate: float | None
    seconds: float
    requests: list[Served]
    counters: Counted

    @property
    def told(self) -> Counted:
        """The same as requests tell it."""
        return Counted(sum(r.computed for r in self.requests), sum(r.cached for r in self.requests))

    @property
    def throughput(self) -> float:
        """Answers a second."""
        return sum(not r.failed for r in self.requests) / self.seconds


def run_cell(rig: Rig, scenes: Sequence[Prepared], cell: Cell, capacity: float | None = None) -> LoadRun:
    """Bring the server to its state before the change, and ask every scene once.

    Args:
        rig: the server.
        scenes: all of them.
        cell: the run.
        capacity: of the arm in requests a second, for a cell with a load.
    """
    rng = stream(rig.settings.seed, "serving", "arrivals", cell.run)
    order = [scenes[int(at)] for at in rng.permutation(len(scenes))]
    rate = None if cell.load is None or capacity is None else cell.load * capacity
    due = None if rate is None else poisson(rate, len(order), rng)
    return asyncio.run(_run(rig, order, cell, rate, due))


async def _run(
    rig: Rig, order: Sequence[Prepared], cell: Cell, rate: float | None, due: np.ndarray | None
) -> LoadRun:
    salt = f"run {cell.instance}"
    async with rig.client() as client:
        await rig.warm(client, order, cell.arm, salt)
        before = await client.counted()

        async def ask(number: int) -> Reply:
            return await client.complete(rig.request(order[number].asks[cell.arm], salt))

        began = time.perf_counter()
        if due is None:
            sent = await closed_loop(len(order), rig.settings.clients, ask)
        else:
            sent = await open_loop(due.tolist(), ask)
        seconds = time.perf_counter() - began
        requests = [
            served(one.got, scene, cell.arm, one.due, one.late)
            for one, scene in zip(sent, order, strict=True)
        ]
        told = Counted(sum(r.computed for r in requests), sum(r.cached for r in requests))
        return LoadRun(rate, seconds, requests, await client.settled(before, told))
