"""What a server itself says that it computed, and what it took from its cache: its Prometheus counters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from pkv_interp.errors import PkvError

_LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(\{.*\})?\s+(\S+)\s*$")
#: By engine: counters of tokens of prompts that were computed, and of those that were not. A name with a
#: label counts the lines that have it.
_NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "llama": (("llamacpp:prompt_tokens_total",), ("llamacpp:prompt_tokens_cached_total",)),
    "vllm": (
        ('vllm:prompt_tokens_by_source_total{source="local_compute"}',),
        (
            'vllm:prompt_tokens_by_source_total{source="local_cache_hit"}',
            'vllm:prompt_tokens_by_source_total{source="external_kv_transfer"}',
        ),
    ),
}
ENGINES = tuple(_NAMES)


@dataclass(frozen=True)
class Counted:
    """Tokens of prompts.

    Attributes:
        computed: run through the model.
        cached: taken from columns that were there.
    """

    computed: int
    cached: int

    @property
    def hit_rate(self) -> float:
        """Share of tokens that were not computed; 0 of nothing."""
        whole = self.computed + self.cached
        return self.cached / whole if whole else 0.0

    def __sub__(self, other: Self) -> Counted:
        return Counted(self.computed - other.computed, self.cached - other.cached)

    def off_by(self, other: Counted) -> float:
        """How far two accounts of the same requests are apart, as a share of their tokens.

        Unlike the difference of their hit rates, it is not 0 where one of them counts half of the requests.
        """
        whole = max(self.computed + self.cached, other.computed + other.cached, 1)
        return (abs(self.computed - other.computed) + abs(self.cached - other.cached)) / whole


def counted(text: str, engine: str) -> Counted:
    """The counters of a server.

    Args:
        text: of its ``/metrics``.
        engine: whose names are looked for, one of ``ENGINES``.

    Raises:
        PkvError: one of them is missing, so that nothing could be held against what requests say.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is not None:
            name, labels, value = match.groups()
            for wanted in (one for side in _NAMES[engine] for one in side):
                bare, _, label = wanted.partition("{")
                if name == bare and label.rstrip("}") in (labels or ""):
                    found[wanted] = found.get(wanted, 0.0) + float(value)
    missing = [one for side in _NAMES[engine] for one in side if one not in found]
    if missing:
        raise PkvError(
            f"the server's /metrics lacks {missing[0]}",
            "start it with its metrics, and check that engine= names it",
        )
    computed, cached = (int(round(sum(found[one] for one in side))) for side in _NAMES[engine])
    return Counted(computed, cached)
