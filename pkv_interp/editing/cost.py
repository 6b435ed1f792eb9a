"""What an edit costs."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Cost:
    """Work of one step, or of several added up.

    Attributes:
        tokens: tokens run through the whole model.
        share: that work as a share of the context's tokens; a token that was run through a part of the layers
            counts for that part.
        milliseconds: wall time, tokenisation included and setup not.
        prompt_surgery: the prompt had to be laid out anew, so that it is another one than was asked for.
        setup_tokens: tokens prefilled once, which later edits of the same kind need not prefill again.
        setup_milliseconds: wall time of that.
    """

    tokens: int = 0
    share: float = 0.0
    milliseconds: float = 0.0
    prompt_surgery: bool = False
    setup_tokens: int = 0
    setup_milliseconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.tokens + other.tokens,
            self.share + other.share,
            self.milliseconds + other.milliseconds,
            self.prompt_surgery or other.prompt_surgery,
            self.setup_tokens + other.setup_tokens,
            self.setup_milliseconds + other.setup_milliseconds,
        )


class Stopwatch:
    """Wall time since it was made, in milliseconds; on a GPU after what was queued is done."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._begin = self._now()

    def read(self) -> float:
        """Milliseconds so far."""
        return (self._now() - self._begin) * 1e3

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()
