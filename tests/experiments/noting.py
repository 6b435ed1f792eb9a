"""A session that notes which controls fail, and a break that several experiments share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pkv_interp.composing import link_repair
from pkv_interp.memory import conversation
from pkv_interp.tolerances import tolerance_of

Break = Callable[[pytest.MonkeyPatch], None]


class Noting:
    """It holds what it is given, such as ``settings`` or ``loaded``, notes controls and stores nothing."""

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)
        self.size, self.floor = 25.0, 0.0
        self.passed: dict[str, bool] = {}

    @property
    def tolerance(self) -> Any:
        return tolerance_of("float32").for_logits_of(self.size)

    def once(self, _name: str, compute: Callable[[], Any], _kind: type) -> Any:
        return compute()

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str) -> None:
        assert detail
        self.passed[name] = abs(value - expected) <= tolerance

    def set_noise_floor(self, largest: float) -> None:
        self.floor = largest


def repairs_one_token(patch: pytest.MonkeyPatch) -> None:
    """A seam of everything is a seam of one token."""
    patch.setattr(
        conversation,
        "link_repair",
        lambda runner, cache, spans, ids, _k: link_repair(runner, cache, spans, ids, 1),
    )
