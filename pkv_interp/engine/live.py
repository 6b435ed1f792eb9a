"""Which tokens' MLPs a packed forward must run: those whose input can differ from the base prompt's.

An edit in a layer changes its own tokens there and, from the next layer on, all of its row's. What is read
above the last layer is the decision token alone. A row that is first edited in layer ``f`` thus needs the
MLP's multiply-adds for its edited tokens in layer ``f``, for all its tokens above it, and for one token in
the last layer; everything else is known from the base's prefill, or is never read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from pkv_interp.engine.packing import Packing
from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import HeadPatch, Knockout, MLPPatch, ResidualEdit, Row, first_layer

#: Where more of the tokens than this are live, picking them out gains nothing.
_MOST = 0.8


@dataclass(frozen=True, eq=False)
class LiveMLP:
    """One layer's MLP runs on ``tokens`` (indices of packed ones); elsewhere its output is ``rest``."""

    tokens: Int[Tensor, " live"]
    rest: Float[Tensor, "tokens d_model"]

    def pick(self, entering: Float[Tensor, "batch width d_model"]) -> Float[Tensor, "1 live d_model"]:
        """The live tokens of what enters the MLP."""
        return rearrange(entering, "batch s d -> (batch s) d")[self.tokens][None]

    def spread(
        self, written: Float[Tensor, "1 live d_model"], like: Float[Tensor, "batch width d_model"]
    ) -> Float[Tensor, "batch width d_model"]:
        """The output for all tokens, in the shape of what entered."""
        return self.rest.index_copy(0, self.tokens, written[0]).view_as(like)


def live_mlps(
    rows: Sequence[Row],
    packing: Packing,
    base: Prefill,
    n_layers: int,
    present: Sequence[int] | None = None,
) -> list[LiveMLP | None]:
    """What has to be run per layer; None where that is (nearly) everything, or the rest is not known.

    Args:
        rows: in the order of ``packing``.
        packing: where each row's tokens lie.
        base: below the last layer the outputs of tokens before the decision are taken from its ``mlp_all``,
            where that was captured.
        n_layers: number of layers of the model.
        present: per layer, how many rows, the first ones, are run there (``Joining``); all when None.
    """
    made: list[LiveMLP | None] = [None] * n_layers
    if not base.has_activations:
        return made
    device = base.mlp.device
    at_decision = np.zeros(packing.n_tokens, dtype=bool)
    at_decision[packing.decision] = True
    for layer in range(n_layers):
        n_tokens = packing.n_tokens if present is None else present[layer] * packing.shape[1]
        if not n_tokens:
            continue
        live = _changed(rows, packing, layer)[:n_tokens]
        if layer == n_layers - 1:
            live &= at_decision[:n_tokens]
        if live.mean() > _MOST:
            continue
        if layer == n_layers - 1 or at_decision.all():
            rest = base.mlp[layer].expand(n_tokens, -1)
        elif base.mlp_all is not None:
            rest = base.take("mlp_all", layer, torch.as_tensor(packing.position_of[:n_tokens]))
        else:
            continue
        if not live.any():  # no MLP is asked to run on nothing
            live[packing.decision[0]] = True
        made[layer] = LiveMLP(torch.as_tensor(np.flatnonzero(live), device=device), rest)
    return made


def _changed(rows: Sequence[Row], packing: Packing, layer: int) -> Bool[np.ndarray, " tokens"]:
    """Packed tokens whose residual stream between attention and MLP of ``layer`` is not the base's."""
    first = np.array([first_layer(row) for row in rows])
    changed = first[packing.row_of] < layer
    for index in np.flatnonzero(first == layer).tolist():
        if not rows[index]:  # a plain decision is computed in full
            changed[packing.row_of == index] = True
        for edit in rows[index]:
            positions: tuple[int, ...] = (packing.length - 1,)
            if isinstance(edit, HeadPatch | MLPPatch | ResidualEdit) and edit.position is not None:
                positions = (edit.position,)
            elif isinstance(edit, Knockout):
                positions = edit.blinded(packing.length - 1)
            for position in positions:
                changed[packing.token_at(index, position)] = True
    return changed
