"""Splitting rows into batches that fit a memory budget, one packed forward each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from pkv_interp.interventions import Knockout, KVPatch, Row, first_edit, first_layer

_CPU_BUDGET = 1 << 30
_GPU_SHARE = 0.5
# Packed tokens per forward. Wider ones gain nothing more from batching (measured on a CPU core: 256 to 512 is
# best for suffixes), and the rows' attention to each other, which is masked away, grows with the square.
_MOST_TOKENS = {"cuda": 2048}
_MOST_TOKENS_ELSEWHERE = 512


class Sizes(Protocol):
    """The sizes of a model that memory is estimated from; a ``ModelSpec`` has them."""

    @property
    def n_layers(self) -> int: ...  # noqa: D102
    @property
    def n_heads(self) -> int: ...  # noqa: D102
    @property
    def n_kv_heads(self) -> int: ...  # noqa: D102
    @property
    def head_dim(self) -> int: ...  # noqa: D102
    @property
    def d_model(self) -> int: ...  # noqa: D102
    @property
    def vocab_size(self) -> int: ...  # noqa: D102
    @property
    def windows(self) -> tuple[int | None, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class Budget:
    """Limits of one packed forward, and the sizes from which its memory is estimated (bytes).

    With ``join`` rows may come in at the layer that they edit first (``engine.joining``); without, every row
    of a forward runs from the first layer that any of them edits.
    """

    total: int
    most_tokens: int
    itemsize: int
    mlp_width: int
    spec: Sizes
    join: bool = True

    def cost(self, n_rows: int, n_tokens: int, n_columns: int, n_touched: int) -> int:
        """Estimated peak of one packed forward over what the model and the prefills hold already."""
        spec = self.spec
        columns = n_columns + n_tokens
        masks = n_tokens * columns * (self.itemsize * spec.n_layers if n_touched else 2 * self.itemsize)
        scores = n_tokens * columns * spec.n_heads * 8
        joined = 2 * columns * (spec.n_heads + spec.n_kv_heads) * spec.head_dim * self.itemsize
        hidden = n_tokens * (3 * self.mlp_width + 8 * spec.d_model) * self.itemsize
        logits = n_rows * spec.vocab_size * (self.itemsize + 4)
        codes = 16 * spec.n_layers * n_rows * n_touched
        return masks + scores + joined + hidden + logits + codes


def budget_of(spec: Sizes, config: Any, megabytes: float | None, like: Tensor) -> Budget:
    """Limits of packed forwards of one model.

    Args:
        spec: shape of the model.
        config: of the model, which states the width of its MLPs.
        megabytes: as asked for, or None (``memory_budget``).
        like: a tensor of the model's dtype and device.
    """
    width = getattr(config, "intermediate_size", None) or 4 * spec.d_model
    width *= getattr(config, "num_experts_per_tok", None) or 1
    total = memory_budget(megabytes, like.device)
    return Budget(total, most_tokens(like.device), like.element_size(), width, spec)


def memory_budget(megabytes: float | None, device: torch.device) -> int:
    """Bytes to spend: as asked for, or half of what is free on a GPU, or 1 GiB."""
    if megabytes is not None:
        return int(megabytes * 2**20)
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * _GPU_SHARE)
    return _CPU_BUDGET


def most_tokens(device: torch.device) -> int:
    """Packed tokens that a forward takes at most, unless one row alone has more."""
    return _MOST_TOKENS.get(device.type, _MOST_TOKENS_ELSEWHERE)


def batches(rows: Sequence[Row], length: int, budget: Budget) -> list[list[int]]:
    """Indices of rows, in batches that are each estimated to fit; a row that is too large stands alone.

    Rows are taken by first edited position, then by first edited layer, so that rows of one batch share as
    much of the prefix, and skip as many layers, as they can.
    """
    starts = [first_edit(row, length) for row in rows]
    order = sorted(range(len(rows)), key=lambda index: (starts[index], first_layer(rows[index])))
    found: list[list[int]] = []
    load = _Load(length)
    for index in order:
        load.add(rows[index], length - starts[index])
        full = (
            load.tokens > budget.most_tokens
            or budget.cost(load.rows, load.tokens, load.columns, load.touched) > budget.total
        )
        if not found or full:
            found.append([])
            load = _Load(length)
            load.add(rows[index], length - starts[index])
        found[-1].append(index)
    return found


class _Load:
    """Running upper bounds for the batch that is being filled."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._by_source: dict[tuple[int, str], int] = {}
        self._positions: set[tuple[int, ...]] = set()
        self.rows = self.tokens = self._named = 0

    def add(self, row: Row, n_tokens: int) -> None:
        self.rows += 1
        self.tokens += n_tokens
        for edit in row:
            if isinstance(edit, KVPatch):
                key = (edit.donor, edit.part)
                self._by_source[key] = self._by_source.get(key, 0) + len(edit.positions)
            if isinstance(edit, KVPatch | Knockout) and edit.positions not in self._positions:
                self._positions.add(edit.positions)
                self._named += len(edit.positions)

    @property
    def columns(self) -> int:
        return self._length + sum(min(self._length, count) for count in self._by_source.values())

    @property
    def touched(self) -> int:
        return min(self._length, self._named)
