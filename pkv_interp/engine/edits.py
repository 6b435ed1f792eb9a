"""Edits of head outputs, MLP outputs and residuals, gathered per layer so that each is one assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from pkv_interp.engine.mixing import mixed_output
from pkv_interp.engine.packing import Packing
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import AttentionPatch, HeadPatch, KVPatch, MLPPatch, ResidualEdit, Row


@dataclass(frozen=True, eq=False)
class HeadEdits:
    """z[tokens, heads] = values."""

    tokens: Int[Tensor, " n"]
    heads: Int[Tensor, " n"]
    values: Float[Tensor, "n d_head"]


@dataclass(frozen=True, eq=False)
class RowEdits:
    """output[tokens] = keep * output[tokens] + values, with keep 0 or 1."""

    tokens: Int[Tensor, " n"]
    keep: Float[Tensor, "n 1"]
    values: Float[Tensor, "n d_model"]


@dataclass(frozen=True, eq=False)
class LayerEdits:
    """What changes in one layer of one packed forward; None where nothing does."""

    heads: HeadEdits | None = None
    mlp: RowEdits | None = None
    residual: RowEdits | None = None


def layer_edits(
    rows: Sequence[Row],
    packing: Packing,
    base: Prefill,
    donors: Sequence[Prefill],
    n_layers: int,
    like: Tensor,
) -> list[LayerEdits]:
    """The edits of a packed forward, one entry per layer.

    Args:
        rows: the rows in the order of ``packing``.
        packing: where each row's tokens lie.
        base: whose pattern or values AttentionPatch keeps.
        donors: where the values of HeadPatch, AttentionPatch and MLPPatch come from.
        n_layers: number of layers of the model.
        like: a tensor of the model's dtype and device.

    Raises:
        PkvError: when a patch before the decision token needs activations that its donor did not capture.
    """
    last = packing.length - 1
    heads: dict[int, dict[tuple[int, int], Tensor]] = {}
    mlps: dict[int, dict[int, Tensor]] = {}
    residuals: dict[int, dict[int, tuple[float, Tensor]]] = {}
    for index, row in enumerate(rows):
        for edit in row:
            if isinstance(edit, HeadPatch):
                token = packing.token_at(index, last if edit.position is None else edit.position)
                heads.setdefault(edit.layer, {})[token, edit.head] = _head_value(
                    edit, donors[edit.donor], last
                )
            elif isinstance(edit, AttentionPatch):
                token = packing.token_at(index, last)
                heads.setdefault(edit.layer, {})[token, edit.head] = mixed_output(
                    edit, base, donors[edit.donor]
                )
            elif isinstance(edit, MLPPatch):
                token = packing.token_at(index, last if edit.position is None else edit.position)
                mlps.setdefault(edit.layer, {})[token] = _mlp_value(edit, donors[edit.donor], last)
            elif isinstance(edit, ResidualEdit):
                token = packing.token_at(index, edit.position)
                sites = residuals.setdefault(edit.layer, {})
                vector = edit.vector.to(like)
                keep, before = sites.get(token, (1.0, torch.zeros_like(vector)))
                sites[token] = (0.0, vector) if edit.mode == "set" else (keep, before + vector)
    return [
        LayerEdits(
            _head_edits(heads[layer], like) if layer in heads else None,
            _row_edits({t: (0.0, v) for t, v in mlps[layer].items()}, like) if layer in mlps else None,
            _row_edits(residuals[layer], like) if layer in residuals else None,
        )
        for layer in range(n_layers)
    ]


def _head_edits(sites: dict[tuple[int, int], Tensor], like: Tensor) -> HeadEdits:
    at = torch.tensor(list(sites), device=like.device)
    return HeadEdits(at[:, 0], at[:, 1], torch.stack(list(sites.values())).to(like))


def _row_edits(sites: dict[int, tuple[float, Tensor]], like: Tensor) -> RowEdits:
    keep = torch.tensor([keep for keep, _ in sites.values()]).to(like)
    values = torch.stack([vector for _, vector in sites.values()]).to(like)
    return RowEdits(torch.tensor(list(sites), device=like.device), keep[:, None], values)


def _head_value(edit: HeadPatch, donor: Prefill, last: int) -> Float[Tensor, " d_head"]:
    if edit.position is None or edit.position == last:
        return donor.z[edit.layer, edit.head]
    return donor.take("z_all", edit.layer, edit.position, edit.head)


def _mlp_value(edit: MLPPatch, donor: Prefill, last: int) -> Float[Tensor, " d_model"]:
    if edit.position is None or edit.position == last:
        return donor.mlp[edit.layer]
    return donor.take("mlp_all", edit.layer, edit.position)


def require_captures(rows: Sequence[Row], base: Prefill, donors: Sequence[Prefill]) -> None:
    """Refuse, before any forward, rows whose base or donors lack the activations that they need.

    Raises:
        PkvError: as ``layer_edits`` would.
    """
    for row in rows:
        for edit in row:
            if isinstance(edit, AttentionPatch):
                for prefill in (base, donors[edit.donor]):
                    prefill.need_activations()
                    prefill.need("attn")
            if not isinstance(edit, HeadPatch | MLPPatch):
                continue
            if edit.position in (None, base.length - 1):
                donors[edit.donor].need_activations()
            else:
                donors[edit.donor].need("z_all" if isinstance(edit, HeadPatch) else "mlp_all")


def require_whole_patches(rows: Sequence[Row], starts: Sequence[int]) -> None:
    """Refuse a K-only or V-only patch of a position that its own row runs again.

    The other half would have to be the row's own, which only the forward itself computes.

    Raises:
        PkvError: naming the position.
    """
    for row, start in zip(rows, starts, strict=True):
        for edit in row:
            if isinstance(edit, KVPatch) and edit.part != "KV" and max(edit.positions) >= start:
                last = max(edit.positions)
                raise PkvError(
                    f"a {edit.part}-only patch at position {last} lies in a suffix run again from {start}",
                    "patch KV there, or a position before the first edit",
                )
