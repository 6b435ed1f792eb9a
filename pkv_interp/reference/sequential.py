"""The engine's twin in plain PyTorch: every row alone, over an edited cache, with hooks.

It shares no code with the packed forward: the model makes its own masks. It is also the
baseline that the packed decode is timed against: one token per patch over a cache that is shared where it is
not edited.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.regime import Regime
from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import Knockout, Row
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.hooks import edited, knocked_out
from pkv_interp.reference.one_by_one import OneByOne, closed_positions


@dataclass(frozen=True)
class Sequential(OneByOne):
    """Runs rows one by one on the loaded model itself, without nnsight."""

    loaded: LoadedModel

    def _regime(self, length: int) -> Regime | None:
        return Positions.of(self.loaded.model).regime(length)

    def _forward(
        self,
        ids: Sequence[int],
        positions: range,
        cache: DynamicCache,
        row: Row,
        donors: Sequence[Prefill],
        knockouts: Sequence[Knockout] = (),
    ) -> Float[Tensor, " vocab"]:
        model: Any = self.loaded.model
        tokens = torch.tensor([[ids[position] for position in positions]], device=model.device)
        closed = closed_positions(knockouts, self.loaded.spec.n_layers, positions, len(ids))
        places = torch.tensor([list(positions)], device=model.device)
        with (
            fresh_rotation(model),
            edited(model, row, positions, donors),
            knocked_out(model, closed, positions.stop),
        ):
            out = model(
                input_ids=tokens,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        return out.logits[0, -1].float()
