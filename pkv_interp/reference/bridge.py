"""The engine's twin in TransformerLens, on a copy of the model of its own.

The bridge rebuilds attention in its own code (scores, softcap, sinks, pattern), so agreement with it is
evidence on the hooks and on the attention, and not only on the packing. It rewrites the modules of the model
that it is given, which is why it gets a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.forward import reset_rotation
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Knockout, MLPPatch, ResidualEdit, Row
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.one_by_one import OneByOne, closed_positions

Hook = tuple[str | Callable[..., Any], Callable[..., Any]]


def build_bridge(loaded: LoadedModel) -> TransformerBridge:
    """A bridge over a copy of the model, with raw weights and no compatibility mode.

    The copy takes as much memory again.

    Raises:
        PkvError: for weights held quantised, which the bridge cannot be compared on.
    """
    if loaded.info.quantised_in_memory:
        raise PkvError("the bridge cannot copy quantised weights", "load with model.quantise_4bit=false")
    model = copy.deepcopy(loaded.model)
    # Its score and pattern hooks exist under eager attention only.
    model.set_attn_implementation("eager")
    return build_bridge_from_module(model, type(model).__name__, hf_config=model.config)


class BridgeTwin(OneByOne):
    """Runs rows one by one through a ``TransformerBridge``.

    Args:
        loaded: its model is copied.

    Raises:
        PkvError: as ``build_bridge``.
    """

    def __init__(self, loaded: LoadedModel) -> None:
        """Copy the model and build the bridge."""
        self.spec = loaded.spec
        self.device = loaded.model.device
        self.bridge = build_bridge(loaded)

    @torch.no_grad()
    def prefill(self, ids: Sequence[int]) -> Prefill:
        """As ``Engine.prefill`` with capture "prefill" and "attention", computed by the bridge alone."""
        wanted = ("hook_z", "mlp.hook_out", "hook_pattern", "hook_resid_post", "hook_in")
        tokens = torch.tensor([list(ids)], device=self.device)
        cache = DynamicCache()
        reset_rotation(self.bridge)
        _, acts = self.bridge.run_with_cache(
            tokens, names_filter=lambda name: name.endswith(wanted), past_key_values=cache, use_cache=True
        )
        layers = range(self.spec.n_layers)
        z = torch.stack([acts[f"blocks.{i}.attn.hook_z"][0] for i in layers])
        mlp = torch.stack([_first(acts[self._mlp_hook(i)])[0] for i in layers])
        resid = torch.stack(
            [acts["blocks.0.hook_in"][0], *(acts[f"blocks.{i}.hook_resid_post"][0] for i in layers)]
        )
        frozen = FrozenCache.of(cache)
        prefix = frozen.slice(0, len(ids) - 1)
        logits = self._forward(ids, range(len(ids) - 1, len(ids)), prefix.view(), (), ())
        return Prefill(
            ids=tuple(ids),
            cache=prefix,
            logits=logits,
            z=z[:, -1],
            mlp=mlp[:, -1],
            resid=resid[:, -1],
            attn=torch.stack([acts[f"blocks.{i}.attn.hook_pattern"][0, :, -1] for i in layers]),
            z_all=z,
            mlp_all=mlp,
            resid_all=resid,
        )

    def _mlp_hook(self, layer: int) -> str:
        return f"blocks.{layer}.mlp.hook_out"

    def _forward(
        self,
        ids: Sequence[int],
        positions: range,
        cache: DynamicCache,
        row: Row,
        donors: Sequence[Prefill],
        knockouts: Sequence[Knockout] = (),
    ) -> Float[Tensor, " vocab"]:
        tokens = torch.tensor([[ids[position] for position in positions]], device=self.device)
        hooks = self._edits(row, positions, len(ids), donors)
        found = closed_positions(knockouts, self.spec.n_layers, positions, len(ids))
        for layer, closed in found.items():
            hooks.append((f"blocks.{layer}.attn.hook_attn_scores", _close(closed)))
        reset_rotation(self.bridge)
        out = self.bridge.run_with_hooks(
            tokens, fwd_hooks=hooks, past_key_values=cache, use_cache=True, return_type="logits"
        )
        return _first(out)[0, -1].float()

    def _edits(self, row: Row, positions: range, length: int, donors: Sequence[Prefill]) -> list[Hook]:
        hooks: list[Hook] = []
        for edit in row:
            if not isinstance(edit, HeadPatch | MLPPatch | ResidualEdit):
                continue
            position = length - 1 if edit.position is None else edit.position
            if position not in positions:
                continue
            token, last = positions.index(position), position == length - 1
            if isinstance(edit, HeadPatch):
                donor = donors[edit.donor]
                value = donor.z[edit.layer] if last else donor.take("z_all", edit.layer, position)
                hooks.append((f"blocks.{edit.layer}.attn.hook_z", _put(value[edit.head], token, edit.head)))
            elif isinstance(edit, MLPPatch):
                donor = donors[edit.donor]
                value = donor.mlp[edit.layer] if last else donor.take("mlp_all", edit.layer, position)
                hooks.append((self._mlp_hook(edit.layer), _put(value, token)))
            else:
                hooks.append((f"blocks.{edit.layer}.hook_resid_post", _residual(edit, token)))
        return hooks


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _put(value: Tensor, token: int, head: int | None = None) -> Callable[[Any, Any], Any]:
    def hook(acts: Any, hook: Any) -> Any:
        del hook
        edited = _first(acts).clone()
        edited[(0, token) if head is None else (0, token, head)] = value
        return (edited, *acts[1:]) if isinstance(acts, tuple) else edited

    return hook


def _residual(edit: ResidualEdit, token: int) -> Callable[[Tensor, Any], Tensor]:
    def hook(acts: Tensor, hook: Any) -> Tensor:
        del hook
        edited = acts.clone()
        vector = edit.vector.to(acts)
        edited[0, token] = vector if edit.mode == "set" else edited[0, token] + vector
        return edited

    return hook


def _close(pairs: Sequence[tuple[int, int]]) -> Callable[[Tensor, Any], Tensor]:
    def hook(scores: Tensor, hook: Any) -> Tensor:
        del hook
        edited = scores.clone()
        for token, position in pairs:
            edited[..., token, position] = torch.finfo(scores.dtype).min
        return edited

    return hook
