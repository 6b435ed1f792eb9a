"""Residual streams of whole texts, and of quads at positions that all their prompts share."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Self

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float

from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
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


def common_start(texts: Sequence[Sequence[int]]) -> int:
    """Tokens with which all texts begin alike."""
    return sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False)))


def residuals_of_texts(
    engine: Engine, texts: Sequence[Sequence[int]], layer: int
) -> Float[np.ndarray, "tokens d"]:
    """Residual streams of all tokens of some texts after one layer, text by text, float32.

    Tokens with which all texts begin alike (the opening of a chat template, and always the first token) are
    left out: what they hold is the same in every text, and the first token's norm is that of a sink.

    Args:
        engine: of the model.
        texts: token ids of each, two tokens or more.
        layer: entry of the residual stream; entry i is the output of block i - 1.

    Raises:
        PkvError: no token is left.
    """
    start = max(1, common_start(texts)) if len(texts) > 1 else 1
    found = [
        residuals_at([engine.prefill(text, {"prefill"})], range(start, len(text)), [layer])[0, 0]
        for text in texts
        if len(text) > start
    ]
    if not found:
        raise PkvError("the texts have no token that is not in all of them", "give texts that differ")
    return np.concatenate(found)


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

    def at_places(self, places: slice) -> Self:
        """The same at some of the A positions."""
        return replace(self, values=self.values[:, :, :, places])

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
