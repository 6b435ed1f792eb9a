"""Arrivals: a seeded Poisson process, a loop that does not wait for answers, and one that does."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.serving.arrivals import closed_loop, open_loop, poisson
from pkv_interp.streams import stream


def test_arrivals_are_seeded_and_stretched_by_the_rate() -> None:
    first, again, other = (poisson(2.0, 20, stream(0, name)) for name in ("a", "a", "b"))
    assert (first == again).all()
    assert (first != other).all()
    assert np.allclose(poisson(4.0, 20, stream(0, "a")) * 2, first)
    assert (np.diff(first) > 0).all()


def test_gaps_are_exponential_with_the_mean_of_the_rate() -> None:
    gaps = np.diff(poisson(5.0, 20_001, stream(0, "many")))
    assert gaps.mean() == pytest.approx(0.2, rel=0.03)
    assert gaps.std() == pytest.approx(0.2, rel=0.03)  # of an exponential distribution alone
    assert (gaps < 0.2).mean() == pytest.approx(1 - np.exp(-1), rel=0.03)


@pytest.mark.parametrize(("rate", "n"), [(0.0, 3), (-1.0, 3), (float("inf"), 3), (1.0, 0)])
def test_a_load_of_nothing_is_refused(rate: float, n: int) -> None:
    with pytest.raises(PkvError, match="give a positive rate"):
        poisson(rate, n, stream(0))


def test_an_open_loop_does_not_wait_for_answers() -> None:
    sent: list[int] = []

    async def run() -> list[int]:
        everybody = asyncio.Event()

        async def ask(number: int) -> int:
            sent.append(number)
            if len(sent) == 3:
                everybody.set()
            await everybody.wait()  # nobody is answered before all have asked
            return number

        return [one.got for one in await open_loop([0.0, 0.01, 0.02], ask)]

    assert asyncio.run(run()) == [0, 1, 2]
    assert sent == [0, 1, 2]


def test_a_client_that_is_behind_says_so() -> None:
    async def ask(number: int) -> int:
        return number

    (first, second) = asyncio.run(open_loop([-1.0, 0.0], ask))
    assert first.late >= 1.0
    assert first.due == -1.0
    assert second.late >= 0.0


def test_a_closed_loop_has_so_many_at_once_and_asks_each_once() -> None:
    at_once, most, asked = 0, 0, list[int]()

    async def ask(number: int) -> int:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        asked.append(number)
        await asyncio.sleep(0)
        at_once -= 1
        return 10 * number

    sent = asyncio.run(closed_loop(7, 3, ask))
    assert [one.got for one in sent] == [0, 10, 20, 30, 40, 50, 60]
    assert sorted(asked) == list(range(7))
    assert most == 3
