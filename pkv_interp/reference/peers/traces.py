"""nnsight as its documentation uses it: a trace for each patch, or an invoke for each patch in one trace.

The only module outside the engine that imports nnsight: here it is what the engine is compared with, and the
engine's own forwards are no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nnsight
import torch
from jaxtyping import Float
from nnsight import TransformersModel
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.forward import reset_rotation
from pkv_interp.engine.path import WayPoint
from pkv_interp.engine.results import Prefill
from pkv_interp.interventions import HeadPatch, Intervention, ResidualEdit
from pkv_interp.models.load import LoadedModel
from pkv_interp.reference.peers.peer import (
    OVER_CACHE,
    OVER_PROMPT,
    Opened,
    Peer,
    edited_cache,
    effects,
    groups,
    margin,
    stacked_cache,
)


class TracePeer(Peer):
    """One trace over the whole prompt for every patch.

    Args:
        loaded: its model is wrapped, and stays as it is.
    """

    name = "nnsight"
    tool = "nnsight"
    takes = OVER_PROMPT

    def __init__(self, loaded: LoadedModel) -> None:
        """Wrap the model."""
        self.spec, self.device = loaded.spec, loaded.device
        self.model: Any = TransformersModel(loaded.model, tokenizer=loaded.tokenizer, task="text-generation")

    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt alone."""
        return Opened(tuple(ids))

    @torch.no_grad()
    def sweep(
        self, base: Opened, rows: Sequence[Intervention], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, " rows"]:
        """As the peer."""
        reset_rotation(self.model._module)
        found: list[Tensor] = []
        for group in groups(rows, self.batch):
            found += [margin(logits, action_ids) for logits in self._group(base, group, donor)]
        return torch.stack(found)

    def _group(self, base: Opened, rows: Sequence[Intervention], donor: Prefill) -> list[Tensor]:
        """Logits of the decision token under each row."""
        (row,) = rows
        ids, cache = self._asked(base, row, donor)
        layers = self.model.model.layers
        # fmt: off
        with self.model.trace(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1):
            if isinstance(row, HeadPatch):
                layers[row.layer].self_attn.o_proj.input = _with_head(
                    layers[row.layer].self_attn.o_proj.input, row, donor
                )
            if isinstance(row, ResidualEdit):
                layers[row.layer].output = _with_residual(layers[row.layer].output, row)
            logits = self.model.output.logits[0, -1].save()
        # fmt: on
        return [logits]

    def _asked(self, base: Opened, row: Intervention, donor: Prefill) -> tuple[Tensor, DynamicCache]:
        del row, donor
        return torch.tensor([list(base.ids)], device=self.device), DynamicCache()

    @torch.enable_grad()
    def attribute(
        self, base: Opened, donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "L H"] | None:
        """As the peer: every layer's z saved in the graph of one trace; invokes add nothing to it."""
        if self.batch > 1:
            return None
        ids, cache = self._asked(base, HeadPatch(0, 0, 0), donor)
        layers = self.model.model.layers
        reset_rotation(self.model._module)
        # fmt: off
        with self.model.trace(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1):
            zs = nnsight.save([])
            layers[0].input.requires_grad_()
            for index in range(self.spec.n_layers):
                zs.append(layers[index].self_attn.o_proj.input)
            logits = self.model.output.logits[0, -1].save()
        # fmt: on
        grads = torch.autograd.grad(margin(logits, action_ids), list(zs))
        return effects([g[0, -1] for g in grads], [z[0, -1] for z in zs], donor, self.spec.n_heads)

    @torch.enable_grad()
    def path_effects(
        self, base: Opened, points: Sequence[WayPoint], donor: Prefill, action_ids: tuple[int, int]
    ) -> Float[Tensor, "points H"]:
        """As the peer: one trace for each point, over a cache alone; invokes add nothing to it."""
        if WayPoint not in self.takes:
            return super().path_effects(base, points, donor, action_ids)
        ids, _ = self._asked(base, HeadPatch(0, 0, 0), donor)
        layers, found = self.model.model.layers, list[Tensor]()
        reset_rotation(self.model._module)
        for point in points:
            _, cache = self._asked(base, HeadPatch(0, 0, 0), donor)
            towards = donor.z[point.layer].flatten()
            # fmt: off
            with self.model.trace(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1):
                z = layers[point.layer].self_attn.o_proj.input
                own = z[0, -1].detach().save()
                put = (own + point.share * (towards - own)).requires_grad_().save()
                layers[point.layer].self_attn.o_proj.input = _with_last(z, put)
                logits = self.model.output.logits[0, -1].save()
            # fmt: on
            (slope,) = torch.autograd.grad(margin(logits, action_ids), [put])
            found.append((slope * (towards - own)).float().reshape(self.spec.n_heads, -1).sum(-1))
        return torch.stack(found)


class TraceCachedPeer(TracePeer):
    """One trace of the decision token over the cached prefix for every patch."""

    name = "nnsight_cached"
    takes = (*OVER_CACHE, WayPoint)

    @torch.no_grad()
    def open(self, ids: Sequence[int]) -> Opened:
        """The prompt, and the cache that the model fills."""
        grown = DynamicCache()
        reset_rotation(self.model._module)
        prefix = torch.tensor([list(ids[:-1])], device=self.device)
        self.model._module(input_ids=prefix, past_key_values=grown, use_cache=True, logits_to_keep=1)
        return Opened(tuple(ids), FrozenCache.of(grown))

    def _asked(self, base: Opened, row: Intervention, donor: Prefill) -> tuple[Tensor, DynamicCache]:
        return torch.tensor([[base.ids[-1]]], device=self.device), edited_cache(base.known, row, donor)


class InvokePeer(TracePeer):
    """nnsight's own batching: one trace of several invokes, one for each patch, over the whole prompt.

    Args:
        loaded: its model is wrapped.
        batch: invokes in one trace.
    """

    name = "nnsight_invokes"

    def __init__(self, loaded: LoadedModel, batch: int) -> None:
        """Wrap the model."""
        super().__init__(loaded)
        self.batch = batch

    def _group(self, base: Opened, rows: Sequence[Intervention], donor: Prefill) -> list[Tensor]:
        return self._invokes(torch.tensor([list(base.ids)], device=self.device), DynamicCache(), rows, donor)

    def _invokes(
        self, ids: Tensor, cache: DynamicCache, rows: Sequence[Intervention], donor: Prefill
    ) -> list[Tensor]:
        layers = self.model.model.layers
        # The mask must reach over the cache: without it nnsight makes one of the length of the input.
        seen = torch.ones(1, cache.get_seq_length() + ids.shape[1], dtype=torch.long, device=self.device)
        # fmt: off
        with self.model.trace(past_key_values=cache, use_cache=True, logits_to_keep=1) as tracer:
            saved = nnsight.save([])
            for row in rows:
                with tracer.invoke(input_ids=ids, attention_mask=seen):
                    if isinstance(row, HeadPatch):
                        layers[row.layer].self_attn.o_proj.input = _with_head(
                            layers[row.layer].self_attn.o_proj.input, row, donor
                        )
                    if isinstance(row, ResidualEdit):
                        layers[row.layer].output = _with_residual(layers[row.layer].output, row)
                    saved.append(self.model.output.logits[0, -1])
        # fmt: on
        return list(saved)


class InvokeCachedPeer(TraceCachedPeer, InvokePeer):
    """Several invokes of the decision token, each over a copy of the cached prefix of its own."""

    name = "nnsight_cached_invokes"
    takes = OVER_CACHE

    def _group(self, base: Opened, rows: Sequence[Intervention], donor: Prefill) -> list[Tensor]:
        ids = torch.tensor([[base.ids[-1]]], device=self.device)
        return self._invokes(ids, stacked_cache(base.known, rows, donor), rows, donor)


def _with_head(z: Float[Tensor, "1 S width"], row: HeadPatch, donor: Prefill) -> Float[Tensor, "1 S width"]:
    """A copy with one head of the last token put in."""
    put, width = z.clone(), donor.z.shape[-1]
    put[:, -1, row.head * width : (row.head + 1) * width] = donor.z[row.layer, row.head]
    return put


def _with_last(z: Float[Tensor, "1 S width"], put: Float[Tensor, " width"]) -> Float[Tensor, "1 S width"]:
    """A copy with the last token's heads put in, and nothing before them in the graph."""
    copied = z.detach().clone()
    copied[0, -1] = put
    return copied


def _with_residual(out: Float[Tensor, "1 S d_model"], row: ResidualEdit) -> Float[Tensor, "1 S d_model"]:
    """A copy with the stream of one token put in."""
    put = out.clone()
    put[:, row.position] = row.vector
    return put
