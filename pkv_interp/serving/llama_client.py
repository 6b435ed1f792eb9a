"""The client of llama.cpp's server with exported caches: those requests go through its slot files."""

from __future__ import annotations

import time
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.serving.client import TOP, Client, Prompt, Reply
from pkv_interp.serving.llama import Answer, LlamaSlots, Request


class LlamaClient(Client):
    """A client whose requests may name a cache."""

    def __init__(
        self, url: str, slots: LlamaSlots, *, model: str | None = None, timeout: float = 900.0
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: of the server.
            slots: of the same server.
            model: as the server calls it; None asks for it.
            timeout: of one request, in seconds.
        """
        super().__init__(url, "llama", model=model, timeout=timeout)
        self._slots = slots

    def _complete(self, prompt: Prompt, tokens: int, began: float) -> Reply:
        # An answer from a cache is told whole, once it is known what it was made from.
        if prompt.cache is None:
            return super()._complete(prompt, tokens, began)
        options = {"n_predict": tokens, "temperature": 0, "n_probs": TOP, "post_sampling_probs": False}
        asked = Request(prompt.ids, prompt.cache, prompt.salt, prompt.slot or 0, options)
        try:
            answer = self._slots.complete(asked)
        except PkvError as error:
            return Reply(failed=type(error).__name__, seconds=time.perf_counter() - began)
        return _reply(answer, time.perf_counter() - began)


def _reply(answer: Answer, seconds: float) -> Reply:
    told: dict[str, Any] = answer.told
    counts, probabilities = told.get("timings") or {}, told.get("completion_probabilities") or [{}]
    if "prompt_n" not in counts or "cache_n" not in counts:
        return Reply(failed="no usage", seconds=seconds)
    return Reply(
        said=str(told.get("content", "")),
        first=seconds,
        seconds=seconds,
        computed=int(counts["prompt_n"]) + answer.probed,
        cached=int(counts["cache_n"]),
        top={int(one["id"]): float(one["logprob"]) for one in probabilities[0].get("top_logprobs", ())},
        in_full=answer.reason,
    )
