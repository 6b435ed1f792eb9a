"""Attribution patching: gradients of the margin at the base, times what a donor would change.

The only place where autograd is on. Weights keep ``requires_grad`` False, so the graph holds activations
only.
Source: Nanda 2023, "Attribution patching"; Syed et al. 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.state import refuse_training
from pkv_interp.engine.edits import LayerEdits
from pkv_interp.engine.packed import PackedOutput, column_layers, packed_forward
from pkv_interp.engine.packing import pack
from pkv_interp.engine.results import Attribution, Prefill
from pkv_interp.models.spec import ModelSpec


def _margin(out: PackedOutput, action_ids: tuple[int, int]) -> Tensor:
    return out.logits[0, action_ids[0]].float() - out.logits[0, action_ids[1]].float()


def _dot(gradients: Sequence[Tensor], differences: Tensor) -> Tensor:
    """Sum over the last axis of gradient times difference, per layer, in float32."""
    return (torch.stack(list(gradients)).float() * differences.float()).sum(-1)


@torch.enable_grad()
def attribute(
    tracer: Any, base: Prefill, donor: Prefill, action_ids: tuple[int, int], spec: ModelSpec
) -> Attribution:
    """One forward of the decision token over the base's cache and one backward to K, V, z and MLP outputs."""
    keys = tuple(key.detach().clone().requires_grad_(True) for key in base.cache.keys)
    values = tuple(value.detach().clone().requires_grad_(True) for value in base.cache.values)
    refuse_training(tracer._module)
    Positions.of(tracer._module).check_prompt(base.cache, base.length)
    packing = pack([()], base.length, spec.windows, 0)
    columns = column_layers(packing, FrozenCache(keys, values), ())
    edits = [LayerEdits()] * spec.n_layers
    out = packed_forward(tracer, base.ids, packing, columns, edits, collect=True)
    assert out.collected is not None
    margin = _margin(out, action_ids)
    inner = [*out.collected.z, *out.collected.mlp]
    grads = torch.autograd.grad(margin, [*keys, *values, *inner])
    n = spec.n_layers
    with torch.no_grad():
        change_k = torch.stack([d - b for d, b in zip(donor.cache.keys, base.cache.keys, strict=True)])
        change_v = torch.stack([d - b for d, b in zip(donor.cache.values, base.cache.values, strict=True)])
        outputs = torch.stack(grads[2 * n : 3 * n])[:, 0, 0]
        heads = rearrange(outputs, "layers (heads d) -> layers heads d", heads=spec.n_heads)
        return Attribution(
            margin=float(margin.detach()),
            keys=_dot(grads[:n], change_k).sum((1, 2)),
            values=_dot(grads[n : 2 * n], change_v).sum((1, 2)),
            heads=(heads.float() * (donor.z - base.z).float()).sum(-1),
            mlps=_dot([g[0, 0] for g in grads[3 * n :]], donor.mlp - base.mlp),
            head_slopes=heads.float(),
        )
