"""TransformerLens: its own generic patching over whole prompts, and its hooks over a cached prefix."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor
from transformer_lens import patching
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.forward import reset_rotation
from pkv_interp.engine.path import WayPoint
from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import HeadPatch, Intervention, ResidualEdit
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.bridge import build_bridge
from pkv_interp.reference.peers.peer import (
    OVER_CACHE,
    OVER_PROMPT,
    Opened,
    Peer,
    edited_cache,
    effects,
    margin,
)


class LensPeer(Peer):
    """``generic_activation_patch`` over a ``TransformerBridge``: the whole prompt for every patch.

    Args:
        loaded: its model is copied, unless ``bridge`` has it already.
        bridge: of another peer, to be shared.

    Raises:
        PkvError: as ``build_bridge``.
    """

    name = "transformer_lens"
    tool = "transformer_lens"
    takes = (*OVER_PROMPT, WayPoint)

    def __init__(self, loaded: LoadedModel, bridge: Any = None) -> None:
        """Copy the model and build the bridge."""
        self.spec, self.device = loaded.spec, loaded.device
        self.bridge: Any = build_bridge(loaded) if bridge is None else bridge

    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt alone."""
        return Opened(tuple(ids))

    @torch.no_grad()
    def sweep(
        self, base: Opened, rows: Sequence[Intervention], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, " rows"]:
        """As the peer."""
        cells: list[dict[str, int]] = []
        for row in rows:
            if isinstance(row, HeadPatch):
                cells.append({"layer": row.layer, "pos": len(base.ids) - 1, "head_index": row.head})
            elif isinstance(row, ResidualEdit):
                cells.append({"layer": row.layer, "pos": row.position})
        heads = isinstance(rows[0], HeadPatch)
        if heads:
            known: Any = {f"blocks.{i}.attn.hook_z": z[None] for i, z in enumerate(donor.take("z_all"))}
        else:
            after = donor.take("resid_all", slice(1, None))
            known = {f"blocks.{i}.hook_resid_post": resid[None] for i, resid in enumerate(after)}
        one_head, whole = patching.layer_pos_head_vector_patch_setter, patching.layer_pos_patch_setter
        setter: Any = one_head if heads else whole
        reset_rotation(self.bridge)
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
            found = patching.generic_activation_patch(
                self.bridge,
                torch.tensor([list(base.ids)], device=self.device),
                known,  # a mapping by name is all that is read of a cache
                lambda logits: margin(logits[0, -1], action_ids),
                setter,
                "z" if heads else "resid_post",
                index_df=pd.DataFrame(cells),
            )
        assert isinstance(found, Tensor)
        return found

    def attribute(
        self, base: Opened, donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "L H"] | None:
        """As the peer, by hooks that keep every layer's z in the graph."""
        kept: list[Tensor] = []
        hooks: list[tuple[str, Callable[..., Any]]] = [("blocks.0.hook_in", _start)]
        hooks += [(f"blocks.{i}.attn.hook_z", partial(_keep, kept)) for i in range(self.spec.n_layers)]
        reset_rotation(self.bridge)
        with torch.enable_grad():
            out = self._run(base, hooks)
            grads = torch.autograd.grad(margin(_first(out)[0, -1], action_ids), kept)
        return effects([g[0, -1] for g in grads], [z[0, -1] for z in kept], donor, self.spec.n_heads)

    @torch.enable_grad()
    def path_effects(
        self, base: Opened, points: Sequence[WayPoint], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "points H"]:
        """As the peer, a forward and a backward for each point: the way of EAP-IG's code on activations."""
        reset_rotation(self.bridge)
        found = []
        for point in points:
            kept: list[Tensor] = []
            hook = partial(_on_the_way, kept, donor.z[point.layer], point.share)
            out = self._run(base, [(f"blocks.{point.layer}.attn.hook_z", hook)])
            own, put = kept
            (slope,) = torch.autograd.grad(margin(_first(out)[0, -1], action_ids), [put])
            found.append((slope * (donor.z[point.layer] - own)).float().sum(-1))
        return torch.stack(found)

    def _run(self, base: Opened, hooks: list[tuple[str, Callable[..., Any]]]) -> Any:
        return self.bridge.run_with_hooks(
            torch.tensor([list(base.ids)], device=self.device), fwd_hooks=hooks, return_type="logits"
        )


class LensCachedPeer(LensPeer):
    """Hooks of a ``TransformerBridge`` on the decision token alone, over a cached prefix, row by row."""

    name = "transformer_lens_cached"
    takes = (*OVER_CACHE, WayPoint)

    @torch.no_grad()
    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt, and the cache that the bridge fills."""
        grown = DynamicCache()
        reset_rotation(self.bridge)
        self.bridge(torch.tensor([list(ids[:-1])], device=self.device), past_key_values=grown, use_cache=True)
        return Opened(tuple(ids), FrozenCache.of(grown))

    @torch.no_grad()
    def sweep(
        self, base: Opened, rows: Sequence[Intervention], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, " rows"]:
        """As the peer."""
        reset_rotation(self.bridge)
        found = []
        for row in rows:
            hooks: list[tuple[str, Callable[..., Any]]] = []
            if isinstance(row, HeadPatch):
                value = donor.z[row.layer, row.head]
                hooks.append((f"blocks.{row.layer}.attn.hook_z", partial(_put, value, row.head)))
            out = self._decide(base, hooks, edited_cache(base.known, row, donor))
            found.append(margin(_first(out)[0, -1], action_ids))
        return torch.stack(found)

    def _run(self, base: Opened, hooks: list[tuple[str, Callable[..., Any]]]) -> Any:
        return self._decide(base, hooks, base.known.view())

    def _decide(self, base: Opened, hooks: list[tuple[str, Callable[..., Any]]], cache: DynamicCache) -> Any:
        return self.bridge.run_with_hooks(
            torch.tensor([[base.ids[-1]]], device=self.device),
            fwd_hooks=hooks,
            past_key_values=cache,
            use_cache=True,
            return_type="logits",
        )


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, tuple) else output


def _start(acts: Tensor, hook: Any) -> Tensor:
    del hook
    return acts.detach().requires_grad_()


def _keep(kept: list[Tensor], acts: Tensor, hook: Any) -> Tensor:
    del hook
    kept.append(acts)
    return acts  # heads are a view that the bridge makes for the hook: what is returned is what is read on


def _on_the_way(kept: list[Tensor], towards: Tensor, share: float, acts: Tensor, hook: Any) -> Tensor:
    """The last token's heads at a share of the way; keeps what they were and what they are set to."""
    del hook
    own = acts[0, -1].detach()
    put = (own + share * (towards - own)).requires_grad_()
    kept += [own, put]
    edited = acts.detach().clone()
    edited[0, -1] = put
    return edited


def _put(value: Tensor, head: int, acts: Tensor, hook: Any) -> Tensor:
    del hook
    edited = acts.clone()
    edited[0, -1, head] = value
    return edited
