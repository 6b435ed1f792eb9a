"""The engine without rows that come in later: the slow twin of its suffixes, kept to be timed against."""

from __future__ import annotations

from dataclasses import replace

from pkv_interp.engine import Engine
from pkv_interp.engine.batches import Budget


class WholeLayers(Engine):
    """As ``Engine``; every row of a forward runs all its tokens from the first layer that any row edits."""

    def _budget(self) -> Budget:
        return replace(super()._budget(), join=False)
