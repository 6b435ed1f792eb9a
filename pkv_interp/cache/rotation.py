"""Which rotation a model gives its keys, by layer: read from its rotary module, then checked on the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from pkv_interp.cache.forward import at_positions, fresh_rotation, text_decoder
from pkv_interp.cache.rope import Rotary, limit_of, refusal, refuse_without_rotation, rotary_of, scaled_every
from pkv_interp.cache.state import PerForm
from pkv_interp.tolerances import tolerance_of

Layout = Literal["half", "interleaved", "none"]
_PROBE = 5
#: Tokens that are run at the start and far on, how far at most, and the relative error that is allowed there
#: in units of the tolerance of one key: rounding adds up over layers.
_TOKENS, _FAR, _ALLOWED = 8, 2**16, 8


@dataclass(frozen=True, eq=False)
class Rotations:
    """The rotations of a model: by layer what is turned and how the turned pairs lie in a head.

    Attributes:
        layers: per layer its rotation, or None where keys carry no position.
        layouts: per layer "half" (pairs i and i + r), "interleaved" (2 i and 2 i + 1) or "none".
        limit: number of positions the model serves.
        scaled: positions after each multiple of which queries are scaled anew, so that values depend on where
            a text stands; 1 where they do in a way that is not recognised, None where they do not.
    """

    layers: tuple[Rotary | None, ...]
    layouts: tuple[Layout, ...]
    limit: int
    scaled: int | None


def turn(
    keys: Float[Tensor, "*lead T d"],
    cos: Float[Tensor, "T r"],
    sin: Float[Tensor, "T r"],
    layout: Layout,
) -> Float[Tensor, "*lead T d"]:
    """A copy of ``keys`` with the first 2 r of their d coordinates turned, in float32; the dtype is kept."""
    turned = keys.float().clone()
    r = cos.shape[-1]
    first, second = (
        (slice(0, r), slice(r, 2 * r)) if layout == "half" else (slice(0, 2 * r, 2), slice(1, 2 * r, 2))
    )
    x, y = keys[..., first].float(), keys[..., second].float()
    turned[..., first] = x * cos - y * sin
    turned[..., second] = y * cos + x * sin
    return turned.to(keys.dtype)


def angles(inverse: Float[Tensor, " r"], source: Tensor, target: Tensor) -> Float[Tensor, "T r"]:
    """Angles in radians, float64, between two positions of each key.

    The model rounds ``position * frequency`` to float32 before it takes the cosine. The difference of the two
    rounded angles turns a key to where the model would have put it; the angle of the difference would be off
    by that rounding, 1e-4 at some thousand tokens.
    """
    at = [(positions.float()[:, None] * inverse.float()).double() for positions in (source, target)]
    return at[1] - at[0]


def rotations_of(model: PreTrainedModel) -> Rotations:
    """The rotations of a causal language model, found once per model.

    The rotary module names the frequencies; two forwards of one token, at two positions, show what each layer
    does with them. A single token attends to itself alone, so its keys differ by their rotation and nothing
    else, in every layer.

    Raises:
        PkvError: learned positions, ALiBi, recurrent state, or a rotation that is not recognised.
    """
    return _FOUND.of(model)


def _find(model: PreTrainedModel) -> Rotations:
    config: Any = model.config.get_text_config()
    refuse_without_rotation(model)
    named = text_decoder(model).named_modules()
    modules = [m for name, m in named if name.rsplit(".", 1)[-1] == "rotary_emb"]
    if len(modules) != 1:
        raise refusal(model, f"has {len(modules)} rotary modules where one is expected")
    probed = [_keys_of_one_token(model, at) for at in (0, _PROBE)]
    types = getattr(config, "layer_types", None) or ["full_attention"] * len(probed[0])
    known = {kind: rotary_of(modules[0], config, kind, model) for kind in sorted(set(types))}
    known = {
        kind: rotary
        if rotary is None or _settles(model, rotary, [i for i, t in enumerate(types) if t == kind])
        # Its keys past the boundary are not turned as stated: they are moved up to it alone.
        else replace(rotary, long=None)
        for kind, rotary in known.items()
    }
    layers: list[Rotary | None] = []
    layouts: list[Layout] = []
    for index, (kind, at_zero, moved) in enumerate(zip(types, *probed, strict=True)):
        rotary = known[kind]
        layout = _layout(at_zero.new_zeros(0) if rotary is None else rotary.short, at_zero, moved)
        if layout is None:
            raise refusal(model, f"turns the keys of layer {index} in a way that is not recognised")
        layers.append(None if layout == "none" else rotary)
        layouts.append(layout)
    found = [rotary for rotary in known.values() if rotary is not None]
    made = Rotations(tuple(layers), tuple(layouts), limit_of(model, found), scaled_every(config))
    return made if made.scaled or _moves(model, made) else replace(made, scaled=1)


def _moves(model: PreTrainedModel, rotations: Rotations) -> bool:
    """Whether a few tokens far on have the keys, turned, and the values that they have at the start."""
    ends = [r.boundary for r in rotations.layers if r is not None and r.boundary is not None]
    far = min([rotations.limit, _FAR, *ends]) - _TOKENS
    if far <= 0:
        return True
    near, moved = (_columns(model, _TOKENS, at) for at in (0, far))
    source = torch.arange(_TOKENS, device=model.device)
    # The model rounds position * frequency to float32.
    allowed = _ALLOWED * tolerance_of(model.dtype).layout + far * 2.0**-22
    for index, rotary in enumerate(rotations.layers):
        key, value = near.layers[index].keys, near.layers[index].values
        if rotary is not None:
            by = angles(rotary.short.to(model.device), source, source + far)
            key = turn(key, by.cos().float(), by.sin().float(), rotations.layouts[index])
        for mine, theirs in ((key, moved.layers[index].keys), (value, moved.layers[index].values)):
            if float((mine.float() - theirs.float()).norm()) > allowed * float(theirs.float().norm()):
                return False
    return True


def _settles(model: PreTrainedModel, rotary: Rotary, layers: Sequence[int]) -> bool:
    """Whether keys past the boundary are turned by the frequencies that are stated for there."""
    if rotary.long is None or rotary.boundary is None:
        return True
    first = rotary.boundary + _PROBE
    if first + _PROBE >= limit_of(model, [rotary]):
        return False
    before, after = (_keys_of_one_token(model, at) for at in (first, first + _PROBE))
    return all(_layout(rotary.long, before[i], after[i], first) is not None for i in layers)


@torch.no_grad()
def _keys_of_one_token(model: PreTrainedModel, position: int) -> list[Tensor]:
    return [layer.keys for layer in _columns(model, 1, position).layers]


@torch.no_grad()
def _columns(model: PreTrainedModel, n: int, position: int) -> Any:
    """The cache of ``n`` tokens from ``position`` on."""
    cache, size = DynamicCache(), int(model.config.get_text_config().vocab_size)
    ids = torch.tensor(
        [[(min(300, size - 1) + 31 * index) % size for index in range(n)]], device=model.device
    )
    at = torch.arange(position, position + n, device=model.device)
    forward: Any = model
    with fresh_rotation(model):
        forward(input_ids=ids, past_key_values=cache, use_cache=True, **at_positions(model, at))
    return cache


def _layout(inverse: Float[Tensor, " r"], before: Tensor, moved: Tensor, start: int = 0) -> Layout | None:
    """How a layer turns its keys, inferred from one key at ``start`` and ``_PROBE`` positions later."""
    allowed = tolerance_of(moved.dtype).layout * float(moved.float().abs().max())
    source = torch.full((1,), start, device=moved.device)
    by = angles(inverse.to(moved.device), source, source + _PROBE)
    candidates: dict[Layout, Tensor] = {"none": before}
    if 2 * by.shape[-1] <= moved.shape[-1]:
        cos, sin = by.cos().float(), by.sin().float()
        candidates["half"] = turn(before, cos, sin, "half")
        candidates["interleaved"] = turn(before, cos, sin, "interleaved")
    errors = {
        layout: float((keys.float() - moved.float()).abs().max()) for layout, keys in candidates.items()
    }
    best = min(candidates, key=lambda layout: errors[layout])
    return best if errors[best] <= allowed else None


_FOUND = PerForm(_find)
