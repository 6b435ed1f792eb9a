"""pyvene: an intervenable model for each patch, over the whole prompt.

It is optional: where it is not installed or does not know the architecture, the peer cannot be made and says
why.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.forward import reset_rotation
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Intervention, ResidualEdit
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.peers.peer import OVER_PROMPT, Opened, Peer, margin


class VenePeer(Peer):
    """A ``VanillaIntervention`` whose source is the donor's activation, so that the donor is not run again.

    Args:
        loaded: its model gets pyvene's hooks for the time of each forward.

    Raises:
        PkvError: pyvene cannot be imported, or has no such architecture.
    """

    name = "pyvene"
    tool = "pyvene"
    takes = OVER_PROMPT

    def __init__(self, loaded: LoadedModel) -> None:
        """Import pyvene and look the architecture up."""
        try:
            self.library: Any = importlib.import_module("pyvene")
            known: Any = importlib.import_module("pyvene.models.intervenable_modelcard")
        except Exception as error:
            # What an import of a library that expects other versions raises is anything.
            first = str(error).strip().partition("\n")[0]
            raise PkvError(f"{type(error).__name__}: {first}", "pip install pyvene==0.1.8") from error
        if type(loaded.model) not in known.type_to_module_mapping:
            raise PkvError(f"pyvene does not know {type(loaded.model).__name__}", "leave it out")
        self.loaded = loaded

    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt alone."""
        return Opened(tuple(ids))

    @torch.no_grad()
    def sweep(
        self, base: Opened, rows: Sequence[Intervention], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, " rows"]:
        """As the peer."""
        reset_rotation(self.loaded.model)
        tokens = torch.tensor([list(base.ids)], device=self.loaded.device)
        # What is no keyword of pyvene's forward goes to the model with the tokens.
        asked = {"input_ids": tokens, "logits_to_keep": 1}
        return torch.stack([self._one(asked, row, donor, action_ids) for row in rows])

    def _one(
        self, asked: dict[str, Any], row: Intervention, donor: Prefill, action_ids: tuple[int, int]
    ) -> Tensor:
        if isinstance(row, HeadPatch):
            component, unit = "head_attention_value_output", "h.pos"
            where: Any = [[[[row.head]], [[donor.length - 1]]]]
            value = donor.z[row.layer, row.head][None, None, None]
            layer = row.layer
        else:
            assert isinstance(row, ResidualEdit)
            component, unit, where, layer = "block_output", "pos", row.position, row.layer
            value = row.vector[None, None]
        config = self.library.IntervenableConfig(
            [
                {
                    "layer": layer,
                    "component": component,
                    "unit": unit,
                    "intervention_type": self.library.VanillaIntervention,
                }
            ]
        )
        model = self.library.IntervenableModel(config, self.loaded.model)
        (key,) = model.interventions
        _, out = model(asked, unit_locations={"base": where}, source_representations={key: value})
        return margin(out.logits[0, -1], action_ids)
