"""Residual streams of quads at positions that all their prompts share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float

from pkv_interp.engine import Prefill
from pkv_interp.tasks.quads import CONCLUSIONS, Quad


def residuals_at(
    prefills: Sequence[Prefill], positions: Sequence[int], layers: Sequence[int]
) -> Float[np.ndarray, "prompts layers A d"]:
    """Residual streams in float32.

    Args:
        prefills: run with ``capture={"prefill"}``.
        positions: A of them, in every prompt.
        layers: entries of the residual stream; entry i is the output of block i - 1.
    """
    taken = [p.need("resid_all")[list(layers)][:, list(positions)].float().cpu() for p in prefills]
    return torch.stack(taken).numpy()


@dataclass(frozen=True, eq=False)
class LabelledResiduals:
    """Residual streams of prompts after one layer.

    Attributes:
        values: at A positions.
        first: whether a prompt is of the first conclusion.
        families: of the prompts.
    """

    values: Float[np.ndarray, "prompts A d"]
    first: Bool[np.ndarray, " prompts"]
    families: list[str]


@dataclass(frozen=True, eq=False)
class QuadResiduals:
    """Residual streams of quads.

    Attributes:
        values: cells are in the order of `CELLS`.
        layers: entries of the residual stream; entry i is the output of block i - 1.
        quads: what they are of.
    """

    values: Float[np.ndarray, "quads cells layers A d"]
    layers: Sequence[int]
    quads: Sequence[Quad]

    def after(self, layer: int, chosen: Sequence[bool]) -> LabelledResiduals:
        """The chosen quads' prompts after a layer."""
        values = self.values[np.asarray(chosen, bool)][:, :, list(self.layers).index(layer)]
        families = [quad.family for quad, on in zip(self.quads, chosen, strict=True) if on]
        return LabelledResiduals(
            rearrange(values, "quads cells a d -> (quads cells) a d"),
            np.tile(np.array(CONCLUSIONS), len(families)),
            [family for family in families for _ in CONCLUSIONS],
        )

    def of_split(self, split: str) -> list[bool]:
        """Which quads are of a split."""
        return [quad.polarity.split == split for quad in self.quads]

    def without(self, family: str) -> list[bool]:
        """Which quads are of other families."""
        return [quad.family != family for quad in self.quads]

    def cell(self, quad: Quad, layer: int, cell: int) -> Float[np.ndarray, "A d"]:
        """One prompt of a quad after a layer."""
        names = [mine.instance for mine in self.quads]
        return self.values[names.index(quad.instance), cell, list(self.layers).index(layer)]
