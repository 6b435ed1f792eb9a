"""Additive 4D masks that keep packed rows apart and choose, per row, which copy of a column is visible."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pkv_interp.engine.packing import LayerGroup, Packing


def layer_masks(
    packing: Packing, dtype: torch.dtype, device: torch.device
) -> list[Float[Tensor, "1 1 tokens columns"]]:
    """One mask per group of layers, in their order: 0 where visible, the dtype's minimum where not.

    Columns are the shared prefix, the donors' columns in the order of the group's sources, then the packed
    tokens. The rows of a stacked packing are alike, and their mask is that of the first.
    """
    masks = []
    for group in packing.groups:
        hidden = _hidden(packing, group, device)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=device)
        masks.append(mask.masked_fill_(hidden, torch.finfo(dtype).min)[None, None])
    return masks


def _hidden(packing: Packing, group: LayerGroup, device: torch.device) -> Bool[Tensor, "tokens columns"]:
    def send(array: np.ndarray) -> Tensor:
        return torch.as_tensor(array, device=device)

    width = packing.shape[1]
    row, position = send(packing.row_of[:width]), send(packing.position_of[:width])
    decision, start = send(packing.decision), send(packing.starts)
    codes, touched = send(group.codes), send(packing.touched)

    first, stop = group.prefix
    prefix = torch.arange(first, stop, device=device)
    # A row reads the prefix up to its own first token; from there on it has tokens of its own.
    on_prefix = prefix[None] >= start[row][:, None]
    own = (row[:, None] != row[None]) | (position[None] > position[:, None])
    if group.window is not None:
        on_prefix |= position[:, None] - prefix[None] >= group.window
        own |= position[:, None] - position[None] >= group.window

    if packing.layout is not None:
        on_prefix |= packing.layout.hidden(position, prefix)
        own |= packing.layout.hidden(position, position)

    if len(packing.touched):
        changed = codes != 0
        inside = (touched >= first) & (touched < stop)
        on_prefix[decision[:, None], touched[inside][None] - first] |= changed[:, inside]
        # Positions that the row runs again itself are hidden among its own tokens.
        rerun = (changed & (touched[None] >= start[:, None])).nonzero()
        token = decision[rerun[:, 0]] - (packing.length - 1 - touched[rerun[:, 1]])
        own[decision[rerun[:, 0]], token] = True

    for closed in group.closed:
        last = int(packing.decision[closed.row])
        tokens = send(last - (packing.length - 1 - closed.queries))
        before = closed.positions < packing.starts[closed.row]
        there = closed.positions[before & (closed.positions >= first)]
        on_prefix[tokens[:, None], send(there)[None] - first] = True
        rerun_at = last - (packing.length - 1 - closed.positions[~before])
        own[tokens[:, None], send(rerun_at)[None]] = True

    blocks = [on_prefix]
    for source in group.sources:
        columns = send(source.columns)
        at = torch.searchsorted(touched, columns)
        seen = codes[:, at] == source.code
        if group.window is not None:
            seen &= packing.length - 1 - columns[None] < group.window
        block = torch.ones(len(row), len(columns), dtype=torch.bool, device=device)
        block[decision] = ~seen
        blocks.append(block)
    return torch.cat([*blocks, own], 1)
