"""Attribution patching: gradients of the margin at the base, times what a donor would change.

The only place where autograd is on. Weights keep ``requires_grad`` False, so the graph holds activations
only.
Source: Nanda 2023, "Attribution patching"; Syed et al. 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.engine.edits import LayerEdits
from pkv_interp.engine.packed import PackedOutput, column_layers, packed_forward
from pkv_interp.engine.packing import pack
from pkv_interp.engine.results import Attribution, Prefill, PrefillAttribution
from pkv_interp.interventions import ResidualEdit
from pkv_interp.models.spec import ModelSpec


def _margin(out: PackedOutput, action_ids: tuple[int, int]) -> Tensor:
    return out.logits[0, action_ids[0]].float() - out.logits[0, action_ids[1]].float()


def _dot(gradients: Sequence[Tensor], differences: Tensor) -> Tensor:
    """Sum over the last axis of gradient times difference, per layer, in float32."""
    return (torch.stack(list(gradients)).float() * differences.float()).sum(-1)


@torch.enable_grad()
def attribute(
    tracer: Any, base: Prefill, donor: Prefill, action_ids: tuple[int, int], spec: ModelSpec, like: Tensor
) -> Attribution:
    """One forward of the decision token over the base's cache and one backward to K, V, z and MLP outputs."""
    keys = tuple(key.detach().clone().requires_grad_(True) for key in base.cache.keys)
    values = tuple(value.detach().clone().requires_grad_(True) for value in base.cache.values)
    packing = pack([()], base.length, spec.windows, 0)
    columns = column_layers(packing, FrozenCache(keys, values), ())
    edits = [LayerEdits()] * spec.n_layers
    out = packed_forward(tracer, base.ids, packing, columns, edits, like, collect=True)
    assert out.collected is not None
    margin = _margin(out, action_ids)
    inner = [*out.collected.z, *out.collected.mlp]
    grads = torch.autograd.grad(margin, [*keys, *values, *inner])
    n = spec.n_layers
    with torch.no_grad():
        change_k = torch.stack([d - b for d, b in zip(donor.cache.keys, base.cache.keys, strict=True)])
        change_v = torch.stack([d - b for d, b in zip(donor.cache.values, base.cache.values, strict=True)])
        heads = torch.stack(grads[2 * n : 3 * n])[:, 0, 0].unflatten(-1, (spec.n_heads, spec.head_dim))
        return Attribution(
            margin=float(margin.detach()),
            keys=_dot(grads[:n], change_k).sum((1, 2)),
            values=_dot(grads[n : 2 * n], change_v).sum((1, 2)),
            heads=(heads.float() * (donor.z - base.z).float()).sum(-1),
            mlps=_dot([g[0, 0] for g in grads[3 * n :]], donor.mlp - base.mlp),
        )


@torch.enable_grad()
def attribute_prefill(
    tracer: Any, base: Prefill, donor: Prefill, action_ids: tuple[int, int], spec: ModelSpec, like: Tensor
) -> PrefillAttribution:
    """One forward of the base from the first differing token on, and one backward to z and MLP outputs."""
    change_z = donor.need("z_all").float() - base.need("z_all").float()
    change_mlp = donor.need("mlp_all").float() - base.need("mlp_all").float()
    differing = [at for at, (a, b) in enumerate(zip(base.ids, donor.ids, strict=True)) if a != b]
    start = differing[0] if differing else base.length - 1
    # An edit that adds nothing marks where the suffix starts.
    marker = ResidualEdit(0, start, torch.zeros(spec.d_model))
    packing = pack([(marker,)], base.length, spec.windows, 0)
    columns = column_layers(packing, base.cache, ())
    edits = [LayerEdits()] * spec.n_layers
    out = packed_forward(tracer, base.ids, packing, columns, edits, like, collect=True, from_embedding=True)
    assert out.collected is not None
    margin = _margin(out, action_ids)
    grads = torch.autograd.grad(margin, [*out.collected.z, *out.collected.mlp])
    n = spec.n_layers
    heads = torch.zeros(n, base.length, spec.n_heads, device=like.device)
    mlps = torch.zeros(n, base.length, device=like.device)
    with torch.no_grad():
        grad_z = torch.stack(grads[:n])[:, 0].unflatten(-1, (spec.n_heads, spec.head_dim)).float()
        heads[:, start:] = (grad_z * change_z[:, start:]).sum(-1)
        mlps[:, start:] = (torch.stack(grads[n:])[:, 0].float() * change_mlp[:, start:]).sum(-1)
    return PrefillAttribution(float(margin.detach()), heads, mlps)
