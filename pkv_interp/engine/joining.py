"""Rows of one suffix that come into a packed forward at the layer that they edit first.

Up to the attention of that layer a row is the base prompt. So the rows of the forward's first layer run
there as one; their heads are edited, and go through the output projection, at the edited tokens alone. Rows
that edit a later layer come in before it with the stream that the base's prefill kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pkv_interp.engine.edits import HeadEdits
from pkv_interp.engine.packing import Packing
from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import Row, first_layer


@dataclass(frozen=True, eq=False)
class Entry:
    """Where a packed forward starts: the residual stream that enters ``layer``; layers below are not run."""

    layer: int
    resid: Float[Tensor, "1 tokens d_model"]


@dataclass(frozen=True, eq=False)
class Joining:
    """When the rows of a stacked packing, in the order of their first layers, come in.

    Attributes:
        present: per layer, how many rows are run there: the first ones.
        stream: the base's own, into every layer, at the tokens of a row.
    """

    present: tuple[int, ...]
    stream: Float[Tensor, "L S d_model"]

    @property
    def first(self) -> int:
        """The first layer that is run."""
        return next(layer for layer, rows in enumerate(self.present) if rows)

    @property
    def entry(self) -> Entry | None:
        """Where the one row that stands for all in the first layer starts; None at the embedding."""
        return Entry(self.first, self.stream[self.first][None]) if self.first else None

    def comes_in(self, layer: int) -> bool:
        """Whether rows come in at this layer, beside those that are there."""
        return layer > self.first and self.present[layer] > self.present[layer - 1]

    def joined(self, layer: int, running: Float[Tensor, "rows S d"]) -> Float[Tensor, "more S d"]:
        """What enters a layer, with the rows that come in there."""
        fresh = self.stream[layer].expand(self.present[layer] - len(running), -1, -1)
        return torch.cat((running, fresh))

    def every_row(self, layer: int, entering: Float[Tensor, "_ S d"]) -> Float[Tensor, "rows S d"]:
        """What enters the first layer's MLP, which one row may still stand for, once per row."""
        return entering.expand(self.present[layer], -1, -1)

    def with_edited(self, z: Float[Tensor, "1 S width"], edit: HeadEdits) -> Float[Tensor, "1 more width"]:
        """The heads of the one row, and after them those of every edited token with its edits."""
        tokens, at = edit.tokens.unique(return_inverse=True)
        edited = rearrange(
            z[0, tokens % z.shape[1]], "n (heads d) -> n heads d", d=edit.values.shape[-1]
        ).clone()
        edited[at, edit.heads] = edit.values
        return torch.cat((z[0], rearrange(edited, "n heads d -> n (heads d)")))[None]

    def to_rows(
        self, layer: int, written: Float[Tensor, "1 more d"], edit: HeadEdits
    ) -> Float[Tensor, "rows S d"]:
        """What the output projection makes of ``with_edited``, put in its place in every row."""
        width = self.stream.shape[1]
        every = written[0, :width].repeat(self.present[layer], 1)
        every[edit.tokens.unique()] = written[0, width:]
        return rearrange(every, "(rows s) d -> rows s d", s=width)


def joining_of(base: Prefill, packing: Packing, rows: Sequence[Row], n_layers: int) -> Joining | None:
    """When the rows come in; None where they do not run side by side, or the base's stream was not kept.

    Args:
        base: the prompt.
        packing: of the rows.
        rows: sorted by the first layer that they edit, as ``batches`` puts them.
        n_layers: of the model.
    """
    if not packing.stacked or base.resid_all is None:
        return None
    first = [first_layer(row) for row in rows]
    present = tuple(sum(one <= layer for one in first) for layer in range(n_layers))
    return Joining(present, base.take("resid_all", slice(n_layers), slice(int(packing.starts[0]), None)))
