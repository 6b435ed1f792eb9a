"""A small asyncio client of OpenAI's completions API: one prompt, its first token's time, what was cached."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self, TypeVar

import httpx

from pkv_interp.errors import PkvError
from pkv_interp.serving.counters import Counted, counted

T = TypeVar("T")
#: Requests that may wait at once; each of them holds a thread.
_THREADS = 64
#: Tokens whose log-probabilities an answer tells: what every server allows.
TOP = 5
#: Seconds in which counters have to settle after the last answer.
_SETTLING = 3.0


@dataclass(frozen=True)
class Prompt:
    """One request.

    Attributes:
        ids: token ids of the whole prompt.
        cache: name of an exported cache, whose ids the prompt begins with.
        salt: keeps what this request leaves in an engine's cache apart, where the engine has salts.
        slot: of llama.cpp's server; None leaves the choice to it.
    """

    ids: tuple[int, ...]
    cache: str | None = None
    salt: str = ""
    slot: int | None = None


@dataclass(frozen=True)
class Reply:
    """What came of a request.

    Attributes:
        said: the text.
        first: seconds to the first token, as the client sees it; to the end where nothing was said.
        seconds: to the end.
        computed: tokens of the prompt that were run for it, those of a check of the cache included.
        cached: tokens of the prompt that were not.
        top: log-probabilities of the likeliest first tokens, by id.
        in_full: why a cache that was named was not used, or "".
        failed: why there is no answer, or "".
    """

    said: str = ""
    first: float = 0.0
    seconds: float = 0.0
    computed: int = 0
    cached: int = 0
    top: dict[int, float] = field(default_factory=dict)
    in_full: str = ""
    failed: str = ""


class Client:
    """A server, asked by many at once. An async context manager: entering it asks for the model's name.

    Each request waits in a thread of its own: the async half of httpx rests on anyio, whose classes cannot be
    made once nnsight has put an attribute on ``object``.
    """

    def __init__(self, url: str, engine: str, *, model: str | None = None, timeout: float = 900.0) -> None:
        """Nothing is asked yet.

        Args:
            url: of the server, without ``/v1``.
            engine: whose extensions and counters it has: ``"llama"`` or ``"vllm"``.
            model: as the server calls it; None asks for the first that it has.
            timeout: of one request, in seconds.

        Raises:
            PkvError: that is no url.
        """
        self.engine, self._model = engine, model
        # A server ends an idle connection when it likes, and a request that meets the end has no answer.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        try:
            self._http = httpx.Client(base_url=url.rstrip("/"), timeout=timeout, limits=limits)
        except httpx.InvalidURL as error:
            raise PkvError(f"'{url}' is no url: {error}", "give http://HOST:PORT") from error
        self._pool = ThreadPoolExecutor(_THREADS)

    async def __aenter__(self) -> Self:
        # Asked for now, the model's name costs no request that is timed a second one.
        try:
            self._model = await self._apart(self._named)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True)
        self._http.close()

    async def complete(self, prompt: Prompt, tokens: int = 1) -> Reply:
        """Ask, and note when the first token came. A request that fails is a reply that says so.

        Its clock runs from this call on: waiting for one of the threads is waiting for the answer.

        Args:
            prompt: the request.
            tokens: most tokens of the answer.
        """
        return await self._apart(self._complete, prompt, tokens, time.perf_counter())

    async def leave(self, prompt: Prompt, tokens: int) -> bool:
        """Ask for a long answer, and close the connection after its first token.

        Args:
            prompt: the request.
            tokens: of the answer, which is not ended by itself.

        Returns:
            Whether there was a first token to leave after.

        Raises:
            PkvError: the request is not answered, or refused.
        """

        def left() -> bool:
            try:
                with self._stream(prompt, tokens, ignore_eos=True) as events:
                    return next(events, None) is not None
            except (httpx.HTTPError, ValueError) as error:
                raise PkvError(
                    f"no answer to leave ({type(error).__name__}): {error}", "see its log"
                ) from error

        return await self._apart(left)

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """One of the server's own calls.

        Raises:
            PkvError: it is not answered, or refused.
        """
        return await self._apart(self._post, path, body)

    async def busy(self) -> int:
        """How many requests it is working on, as it says itself.

        Raises:
            PkvError: it does not say so.
        """
        name = {"llama": "llamacpp:requests_processing", "vllm": "vllm:num_requests_running"}[self.engine]
        lines = (await self._apart(self._metrics)).splitlines()
        found = [line.rsplit(" ", 1)[1] for line in lines if line.startswith(name)]
        if not found:
            raise PkvError(f"the server's /metrics lacks {name}", "start it with its metrics")
        return int(sum(float(value) for value in found))

    async def counted(self) -> Counted:
        """The server's counters.

        Raises:
            PkvError: they are missing.
        """
        return counted(await self._apart(self._metrics), self.engine)

    async def settled(self, before: Counted, told: Counted) -> Counted:
        """What the counters have risen by, once they agree with what requests told, or after some seconds.

        Engines write counters a step after the answer. Waiting cannot make them agree: they rise only.

        Args:
            before: the counters at the start.
            told: by the requests.
        """
        until = time.monotonic() + _SETTLING
        while (risen := await self.counted() - before) != told and time.monotonic() < until:
            await asyncio.sleep(0.1)
        return risen

    async def _apart(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *given)

    def _complete(self, prompt: Prompt, tokens: int, began: float) -> Reply:
        said, first, usage, top = "", None, {}, dict[int, float]()
        try:
            with self._stream(prompt, tokens) as events:
                for event in events:
                    choice = (event.get("choices") or [{}])[0]
                    # A token that ends within a character is told without a text.
                    if first is None and (choice.get("text") or choice.get("logprobs")):
                        first, top = time.perf_counter() - began, _top(choice.get("logprobs"))
                    said += choice.get("text") or ""
                    usage = event.get("usage") or usage
        except (httpx.HTTPError, PkvError, ValueError) as error:
            # What a server says when it refuses is the one thing that mends it.
            why = error.cause if isinstance(error, PkvError) else type(error).__name__
            return Reply(failed=why, seconds=time.perf_counter() - began)
        seconds = time.perf_counter() - began
        try:
            cached = int((usage.get("prompt_tokens_details") or {})["cached_tokens"])
            computed = int(usage["prompt_tokens"]) - cached
        except (KeyError, TypeError):
            return Reply(failed="no usage", seconds=seconds)
        # Nothing is said where the first token ends the text: then the end is what the client waits for.
        return Reply(said, seconds if first is None else first, seconds, computed, cached, top)

    @contextmanager
    def _stream(self, prompt: Prompt, tokens: int, **more: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """The events of a streamed answer. Leaving the context closes the connection, finished or not."""
        body = self._body(prompt, tokens) | {"model": self._model, **more}
        with self._http.stream("POST", "/v1/completions", json=body) as answer:
            if answer.status_code != 200:
                told = answer.read().decode(errors="replace")
                raise PkvError(f"the server refuses the request: {told[:200]}", "see its log")
            yield _events(answer)

    def _body(self, prompt: Prompt, tokens: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "prompt": list(prompt.ids),
            "max_tokens": tokens,
            "temperature": 0,
            "logprobs": TOP,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.engine == "vllm":
            body["return_tokens_as_token_ids"] = True
            # A salt here is any text; vLLM takes 128 characters, and none that stands in a path.
            body |= {"cache_salt": sha256(prompt.salt.encode()).hexdigest()} if prompt.salt else {}
            body |= {} if prompt.cache is None else {"kv_transfer_params": {"pkv": prompt.cache}}
        elif prompt.cache is not None:
            raise PkvError("a plain client names no cache to this engine", "ask through LlamaClient")
        else:
            body["cache_prompt"] = True
            body |= {} if prompt.slot is None else {"id_slot": prompt.slot}
        return body

    def _named(self) -> str:
        """The name by which the server knows its model."""
        if self._model is not None:
            return self._model
        try:
            return str(self._http.get("/v1/models").json()["data"][0]["id"])
        except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
            url = self._http.base_url
            raise PkvError(f"{url} tells no model at /v1/models: {error}", "check the url") from error

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = self._http.post(path, json=dict(body))
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PkvError(f"the server does not answer {path}: {error}", "see its log") from error
        if answer.status_code != 200:
            raise PkvError(f"the server refuses {path}: {str(told)[:200]}", "see its log")
        return told

    def _metrics(self) -> str:
        try:
            answer = self._http.get("/metrics")
        except httpx.HTTPError as error:
            raise PkvError(f"{self._http.base_url} does not answer: {error}", "start the server") from error
        if answer.status_code != 200:
            raise PkvError("the server has no /metrics", "start it with its metrics (--metrics)")
        return answer.text


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if line.startswith("data:") and not line.endswith("[DONE]"):
            yield json.loads(line[5:])


def _top(logprobs: Any) -> dict[int, float]:
    """Log-probabilities of the likeliest tokens at the first place, by id, in either engine's form."""
    if not isinstance(logprobs, Mapping):
        return {}
    content: Sequence[Mapping[str, Any]] = logprobs.get("content") or ()
    if content:
        return {int(one["id"]): float(one["logprob"]) for one in content[0]["top_logprobs"]}
    first = (logprobs.get("top_logprobs") or [{}])[0] or {}
    named = ((str(token).rpartition(":"), value) for token, value in first.items())
    return {int(number): float(value) for (kind, _, number), value in named if kind == "token_id"}
