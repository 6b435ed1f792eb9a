"""What a reply is worth: whether it is right, and whether it is what the model itself says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.serving.cases import Asked, Prepared
from experiments.serving.settings import FULL
from pkv_interp.serving.client import Reply

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Served:
    """One request that was sent.

    Attributes:
        scene: its number.
        due: seconds after the start of the run at which it was to be sent.
        first: seconds from then to the first token.
        seconds: from then to the end.
        computed: tokens of the prompt that were run for it.
        cached: tokens that were not.
        right: the answer is the action that the new value calls for.
        error: largest difference of a log-probability from the model's own, None where none was told.
        in_full: why a cache that was named was not used, or "" where it was.
        failed: why there is no answer, or "".
    """

    scene: int
    due: float
    first: float
    seconds: float
    computed: int
    cached: int
    right: bool
    error: float | None
    in_full: str
    failed: str


def is_right(said: str, action: str) -> bool:
    """Whether the first word is the action."""
    word = _WORD.search(said)
    return word is not None and word.group() == action


def error_of(top: Mapping[int, float], expected: Float[np.ndarray, " vocab"] | None) -> float | None:
    """Largest difference of the log-probabilities told from the model's; None where either is not known."""
    if not top or expected is None:
        return None
    return max(abs(value - float(expected[token])) for token, value in top.items())


def is_from_cache(reply: Reply, one: Prepared, arm: str) -> bool:
    """Whether an answer was made from the cache that its request named.

    llama.cpp's client knows. vLLM counts the columns of a cache and those of a prompt that it computed itself
    alike: there what is said decides, which is one of the two or wrong.

    Args:
        reply: of the server.
        one: the scene.
        arm: that asked.
    """
    asked: Asked = one.asks[arm]
    if asked.columns == 0 or reply.in_full or reply.cached < asked.columns:
        return False
    cache, full = (error_of(reply.top, one.asks[name].expected) for name in (arm, FULL))
    return cache is None or full is None or cache <= full


def served(reply: Reply, one: Prepared, arm: str, due: float = 0.0, late: float = 0.0) -> Served:
    """A reply with what it is worth.

    Args:
        reply: of the server.
        one: the scene.
        arm: that asked.
        due: when it was to be sent.
        late: by how much later it was.
    """
    asked, brought = one.asks[arm], is_from_cache(reply, one, arm)
    in_full = reply.in_full
    if asked.columns and not (brought or in_full or reply.failed):
        in_full = "not told why"
    # What was computed in full has to be what the whole prompt leads to.
    against = one.asks[FULL] if in_full else asked
    return Served(
        scene=one.scene.number,
        due=due,
        first=late + reply.first,
        seconds=late + reply.seconds,
        computed=reply.computed,
        cached=reply.cached,
        right=not reply.failed and is_right(reply.said, one.scene.action),
        error=error_of(reply.top, against.expected),
        in_full=in_full,
        failed=reply.failed,
    )
