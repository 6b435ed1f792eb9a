"""First-order effects of heads on the way from a base to a donor: what integrated gradients are the mean of.

A point on the way has all heads of one layer at a share of the way, and the gradient is taken there. The mean
over points at 1/m, 2/m, ... 1 of the way is integrated gradients on that layer's heads.
Source: Sundararajan et al. 2017; on activations, a layer at a time, Hanna et al. 2024 (EAP-IG).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.positions import Positions
from pkv_interp.cache.state import refuse_training
from pkv_interp.engine.decode import check_call, entry_of
from pkv_interp.engine.edits import HeadEdits, LayerEdits
from pkv_interp.engine.engine import Engine
from pkv_interp.engine.packed import Shortcuts, column_layers, packed_forward
from pkv_interp.engine.packing import pack
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.indices import index_below

#: Points of one packed forward. Its graph holds the activations of every layer, where a forward without
#: gradients holds those of one, so that fewer rows go together than in ``Engine.decode``.
TOGETHER = 64


@dataclass(frozen=True)
class WayPoint:
    """All heads of a layer at the decision, at ``share`` of the way from the base's output to the donor's."""

    layer: int
    share: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise PkvError(f"{self.share} of the way is not on it", "give a share from 0 to 1")


def way_points(n_layers: int, steps: int) -> tuple[WayPoint, ...]:
    """Every layer at 1/steps, 2/steps, ... 1 of the way."""
    return tuple(WayPoint(layer, k / steps) for layer in range(n_layers) for k in range(1, steps + 1))


def path_effects(
    engine: Engine,
    base: Prefill,
    donor: Prefill,
    points: Sequence[WayPoint],
    action_ids: tuple[int, int],
) -> Float[Tensor, "points H"]:
    """Gradient of the margin at each point, times what each head of its layer changes from base to donor.

    Points are rows of packed forwards, sorted by layer; a forward starts at the lowest layer of its rows.

    Args:
        engine: of the model.
        base: the prompt whose prefix all points read.
        donor: of the base's length.
        points: where gradients are taken.
        action_ids: the margin is the first one's logit minus the second's.

    Raises:
        PkvError: a donor of another length, activations not captured, no such layer, no points, or effects
            that are not finite.
    """
    if not points:
        raise PkvError("no points were given", "give at least one")
    check_call(engine._scope(base, (donor,)), base, ((),), (donor,))
    base.need_activations()
    donor.need_activations()
    for point in points:
        index_below(point.layer, engine.spec.n_layers, "layer")
    model = engine.loaded.model
    refuse_training(model)
    Positions.of(model).check_prompt(base.cache, base.length)
    order = sorted(range(len(points)), key=lambda index: points[index].layer)
    found = torch.empty(len(points), engine.spec.n_heads, device=base.z.device)
    for start in range(0, len(order), TOGETHER):
        group = order[start : start + TOGETHER]
        slopes = _slopes(engine, base, donor, [points[index] for index in group], action_ids)
        for index, slope in zip(group, slopes, strict=True):
            layer = points[index].layer
            found[index] = (slope.float() * (donor.z[layer] - base.z[layer]).float()).sum(-1)
    return finite(found, "the effects on the way")


@torch.enable_grad()
def _slopes(
    engine: Engine,
    base: Prefill,
    donor: Prefill,
    points: Sequence[WayPoint],
    action_ids: tuple[int, int],
) -> list[Float[Tensor, "H d_head"]]:
    """Gradients to the heads that each point sets, from one packed forward and one backward."""
    spec, n_heads = engine.spec, engine.spec.n_heads
    packing = pack([()] * len(points), base.length, spec.windows, 0, base.cache.layout)
    edits, leaves = [LayerEdits()] * spec.n_layers, list[Tensor]()
    rows_of = {
        layer: [row for row, point in enumerate(points) if point.layer == layer]
        for layer in sorted({point.layer for point in points})
    }
    device = base.z.device
    for layer, rows in rows_of.items():
        shares = torch.tensor([points[row].share for row in rows]).to(base.z)[:, None, None]
        heads = base.z[layer] + shares * (donor.z[layer] - base.z[layer])
        leaf = rearrange(heads, "rows heads d -> (rows heads) d").detach().requires_grad_()
        tokens = torch.as_tensor(packing.decision[rows], device=device).repeat_interleave(n_heads)
        each = torch.arange(n_heads, device=device).repeat(len(rows))
        edits[layer] = LayerEdits(heads=HeadEdits(tokens, each, leaf))
        leaves.append(leaf)
    shortcuts = Shortcuts(
        entry=entry_of(base, packing, min(rows_of)), token_ids=torch.tensor(list(action_ids), device=device)
    )
    columns = column_layers(packing, base.cache, ())
    logits = packed_forward(engine._tracer, base.ids, packing, columns, edits, shortcuts=shortcuts).logits
    # Rows do not see each other, so that the gradient of their sum holds each row's own.
    total = (logits[:, 0].float() - logits[:, 1].float()).sum()
    gradients = torch.autograd.grad(total, leaves)
    by_row: dict[int, Tensor] = {}
    for rows, gradient in zip(rows_of.values(), gradients, strict=True):
        by_row.update(zip(rows, gradient.split(n_heads), strict=True))
    return [by_row[row] for row in range(len(points))]
