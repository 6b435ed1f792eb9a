"""When requests arrive, and how they are sent. An open loop does not wait for answers, as users do not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float

from pkv_interp.errors import PkvError

T = TypeVar("T")


@dataclass(frozen=True)
class Sent(Generic[T]):
    """One request of a load.

    Attributes:
        due: seconds after the start at which it was to be sent.
        late: seconds by which it was sent later; a client that is behind must not make a server look fast.
        got: what came of it.
    """

    due: float
    late: float
    got: T


def poisson(rate: float, n: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
    """Times of arrival of a Poisson process, in seconds after its start.

    One state of the generator gives one pattern, stretched by the rate: arms under different rates meet the
    same bursts.

    Args:
        rate: requests a second.
        n: how many.
        rng: draws the gaps.

    Raises:
        PkvError: no positive rate, or no request.
    """
    if not (rate > 0 and np.isfinite(rate)) or n < 1:
        raise PkvError(f"a load of {n} requests at {rate} a second", "give a positive rate and one request")
    return np.cumsum(rng.exponential(1.0, n)) / rate


async def open_loop(due: Sequence[float], ask: Callable[[int], Awaitable[T]]) -> list[Sent[T]]:
    """Send each request when it is due, whether or not others were answered.

    Args:
        due: seconds after the start, one per request.
        ask: sends the request of that number.
    """
    began = time.perf_counter()

    async def one(number: int, at: float) -> Sent[T]:
        await asyncio.sleep(max(0.0, began + at - time.perf_counter()))
        late = max(0.0, time.perf_counter() - began - at)
        return Sent(float(at), late, await ask(number))

    return list(await asyncio.gather(*(one(number, at) for number, at in enumerate(due))))


async def closed_loop(n: int, clients: int, ask: Callable[[int], Awaitable[T]]) -> list[Sent[T]]:
    """Send requests as fast as they are answered, so many at once.

    Args:
        n: how many requests.
        clients: how many at once.
        ask: sends the request of that number.
    """
    waiting = iter(range(n))
    began, out = time.perf_counter(), dict[int, Sent[T]]()

    async def client() -> None:
        for number in waiting:
            due = time.perf_counter() - began
            out[number] = Sent(due, 0.0, await ask(number))

    await asyncio.gather(*(client() for _ in range(clients)))
    return [out[number] for number in range(n)]
