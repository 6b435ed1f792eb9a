"""The client against a server in this process: what it measures, sends and notices."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.serving.client import Client, Prompt, Reply
from pkv_interp.serving.counters import Counted
from pkv_interp.serving.llama_client import LlamaClient
from tests.serving.fake import WORDS, FakeServer, log_probabilities


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    fake = FakeServer(tmp_path)
    yield fake
    fake.close()


def asked(server: FakeServer, *prompts: Prompt, url: str | None = None) -> list[Reply]:
    async def run() -> list[Reply]:
        async with Client(url or server.url, "vllm") as client:
            return [await client.complete(prompt) for prompt in prompts]

    return asyncio.run(run())


def test_a_reply_says_what_was_computed_and_what_was_said(server: FakeServer) -> None:
    salt = "another tenant/of @ours" + "." * 200  # what vLLM would refuse as it stands
    first, again, other = asked(
        server, Prompt((1, 2, 3, 4)), Prompt((1, 2, 3, 5)), Prompt((1, 2, 3, 4), salt=salt)
    )
    assert [(one.computed, one.cached) for one in (first, again, other)] == [(4, 0), (1, 3), (4, 0)]
    told = log_probabilities((1, 2, 3, 4))
    assert first.said.strip() == WORDS[int(told.argmax())]
    assert first.top == pytest.approx({int(at): told[at] for at in np.argsort(-told)[:5]})
    assert 0 < first.first <= first.seconds
    assert "cache_salt" not in server.sent[0]
    assert re.fullmatch("[0-9a-f]{64}", server.sent[2]["cache_salt"])
    assert server.sent[0]["model"] == "m"


def test_a_cache_is_named_to_vllm_and_refused_for_a_plain_client_of_llama(
    server: FakeServer, tmp_path: Path
) -> None:
    (tmp_path / "name.safetensors").touch()
    (reply,) = asked(server, Prompt((1, 2, 3, 4, 5), cache="name", salt="s"))
    assert server.sent[0]["kv_transfer_params"] == {"pkv": "name"}
    assert reply.cached == server.columns

    async def run() -> Reply:
        async with Client(server.url, "llama") as client:
            return await client.complete(Prompt((1, 2), cache="name"))

    assert asyncio.run(run()).failed == "a plain client names no cache to this engine"


def test_what_fails_is_a_reply_that_says_so(server: FakeServer) -> None:
    async def run() -> Reply:
        async with Client(server.url, "vllm") as client:
            server.kill()
            return await client.complete(Prompt((1, 2)))

    cut = asyncio.run(run())
    assert cut.failed
    assert not cut.said


def test_what_is_no_url_and_a_server_that_is_gone_are_told_in_one_line(server: FakeServer) -> None:
    with pytest.raises(PkvError, match="'http://host:port' is no url"):
        Client("http://host:port", "vllm")

    async def run() -> None:
        async with Client(server.url, "vllm") as client:
            server.kill()
            await client.leave(Prompt((1, 2)), 8)

    with pytest.raises(PkvError, match="no answer to leave"):
        asyncio.run(run())


def test_the_model_is_asked_for_once_before_anything_is_timed(server: FakeServer) -> None:
    with pytest.raises(PkvError, match="tells no model at /v1/models"):
        asked(server, url="http://127.0.0.1:9")

    async def run() -> None:
        async with Client(server.url, "vllm") as client:
            assert server.got == ["/v1/models"]
            await asyncio.gather(*(client.complete(Prompt((1, at))) for at in range(4)))

    asyncio.run(run())
    assert server.got == ["/v1/models"]
    assert [body["model"] for body in server.sent] == ["m"] * 4


def test_a_request_that_waits_for_a_thread_is_on_the_clock(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, free = [0.0], threading.Event()
    monkeypatch.setattr("pkv_interp.serving.client._THREADS", 1)
    for module in ("client", "llama_client"):
        fake = SimpleNamespace(perf_counter=lambda: clock[0], monotonic=time.monotonic)
        monkeypatch.setattr(f"pkv_interp.serving.{module}.time", fake)

    class Slots:
        def complete(self, request: object) -> None:
            raise PkvError(f"no slot for {request}", "made up")

    class Held(LlamaClient):
        async def hold(self) -> None:
            await self._apart(free.wait)

    async def run() -> list[Reply]:
        slots: Any = Slots()
        async with Held(server.url, slots) as client:
            held = asyncio.create_task(client.hold())
            prompts = (Prompt((1, 2, 3)), Prompt((1, 2, 3), cache="name"))
            waiting = [asyncio.create_task(client.complete(prompt)) for prompt in prompts]
            await asyncio.sleep(0)  # all three are sent now, and the first has the only thread
            clock[0] = 7.0
            free.set()
            await held
            return [await one for one in waiting]

    plain, brought = asyncio.run(run())
    assert (plain.failed, plain.first, plain.seconds) == ("", 7.0, 7.0)
    assert (brought.failed, brought.seconds) == ("PkvError", 7.0)


def test_leaving_closes_the_connection_and_the_server_stops(server: FakeServer) -> None:
    async def run() -> tuple[bool, int]:
        async with Client(server.url, "vllm") as client:
            left = await client.leave(Prompt((1, 2, 3)), 64)
            await asyncio.to_thread(server.left.wait, 30)
            while await client.busy():
                await asyncio.sleep(0.01)
            return left, await client.busy()

    assert asyncio.run(run()) == (True, 0)
    assert server.left.is_set()


def test_counters_agree_with_requests_and_their_absence_is_an_error(server: FakeServer) -> None:
    async def run() -> tuple[Counted, Counted]:
        async with Client(server.url, "vllm") as client:
            before = await client.counted()
            replies = [await client.complete(Prompt((1, 2, 3, at))) for at in (4, 5, 6)]
            told = Counted(sum(one.computed for one in replies), sum(one.cached for one in replies))
            return told, await client.settled(before, told)

    told, counters = asyncio.run(run())
    assert told == counters == Counted(6, 6)
    server.metrics = False
    with pytest.raises(PkvError, match="lacks vllm:prompt_tokens_by_source_total"):
        asyncio.run(run())
