"""llama.cpp's server for tests: started from an environment of its own, asked by HTTP, always stopped."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.errors import PkvError
from pkv_interp.serving.processes import LlamaServer, LlamaSizes, environment_of


@dataclass(frozen=True)
class Engine:
    """A running server: its address, and the folder of its slot files."""

    url: str
    slots: Path

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def ask(self, ids: Sequence[int], **options: Any) -> dict[str, Any]:
        """A plain request of any client."""
        return self.post("/completion", {"prompt": list(ids), "cache_prompt": True, **SAYS_ALL, **options})


#: One token, with the log-probability of every token, before any bias. What is written is always the same
#: word: a token that ends within a character, which a random model may choose, would be told with the next
#: one only.
SAYS_ALL = {
    "n_predict": 1,
    "temperature": 0,
    "n_probs": 100_000,
    "post_sampling_probs": False,
    "logit_bias": [[300, 1000.0]],
}


def log_probabilities(told: dict[str, Any], vocab: int) -> Tensor:
    """Of the first token that was written, Float[vocab]; minus infinity for tokens that are not told."""
    out = torch.full((vocab,), float("-inf"), dtype=torch.float64)
    for one in told["completion_probabilities"][0]["top_logprobs"]:
        out[one["id"]] = one["logprob"]
    return out


def difference(told: dict[str, Any], logits: Tensor) -> float:
    """Largest difference of log-probabilities between the server's answer and logits of ours, every token."""
    ours = torch.log_softmax(logits.double(), -1)
    return float((log_probabilities(told, len(ours)) - ours).abs().max())


def installed() -> None:
    """Skip the test where there is no llama.cpp.

    Raises:
        pytest.skip.Exception: there is none.
    """
    try:
        environment_of("llama")
    except PkvError as error:
        pytest.skip(f"llama.cpp is not installed: {error.hint}")


@contextmanager
def running(model: Path, slots: Path, reuse: int = 0, ram: int = 64, kind: str = "F32") -> Iterator[Engine]:
    """A server on a free port of this machine alone; it ends with the context, or with this process.

    Args:
        model: a GGUF file. slots: folder of slot files. reuse: ``--cache-reuse``. ram: MiB in which the
        server keeps prefixes that were pushed out of their slots. kind: in which it holds columns. With F32
        what is asked is whether they arrive, and not what rounding does.
    """
    installed()
    sizes = LlamaSizes(reuse=reuse, ram=ram, kind=kind)
    with LlamaServer(model, slots, slots.parent / "server.log", sizes) as server:
        yield Engine(server.url, slots)
