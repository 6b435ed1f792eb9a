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
from pkv_interp.cache.measured import measured_columns
from pkv_interp.cache.rope import Rotary, limit_of, refusal, refuse_without_rotation, rotary_of, scaled_every
from pkv_interp.cache.state import PerForm
from pkv_interp.cache.window import Chunks
from pkv_interp.tolerances import tolerance_of

Layout = Literal["half", "interleaved", "none"]
Turnable = Literal["keys", "values"]
Pair = tuple[Tensor, Tensor]
_LAYOUTS: tuple[Layout, ...] = ("half", "interleaved")
_PROBE = 5
#: Tokens that are run at the start and far on, how far at most, and the relative error that is allowed there
#: in units of the tolerance of one key: rounding adds up over layers.
_TOKENS, _FAR, _ALLOWED = 8, 2**16, 8


@dataclass(frozen=True)
class Turned:
    """Which coordinates of what a layer keeps are turned by the position.

    Attributes:
        layout: how pairs lie: "half" (i and i + r), "interleaved" (2 i and 2 i + 1), "none" without a turn.
        part: the tensor that is turned; a compressed layer (MLA) keeps the part of its keys that carries the
            position where others keep values.
        offset: of the first turned coordinate.
    """

    layout: Layout
    part: Turnable = "keys"
    offset: int = 0


@dataclass(frozen=True, eq=False)
class Rotations:
    """The rotations of a model: by layer what is turned and how the turned pairs lie in a head.

    Attributes:
        layers: per layer its rotation, or None where keys carry no position.
        turned: per layer what is turned.
        limit: number of positions the model serves.
        scaled: positions after each multiple of which queries are scaled anew, so that values depend on where
            a text stands; 1 where they do in a way that is not recognised, None where they do not.
        counted: what the position 0 counts as in that.
        chunks: sizes of the chunks that layers see (Llama 4).
    """

    layers: tuple[Rotary | None, ...]
    turned: tuple[Turned, ...]
    limit: int
    scaled: int | None
    counted: int = 0
    chunks: tuple[int, ...] = ()

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """Per layer how the turned pairs lie."""
        return tuple(one.layout for one in self.turned)


def turn(
    keys: Float[Tensor, "*lead T d"],
    cos: Float[Tensor, "T r"],
    sin: Float[Tensor, "T r"],
    layout: Layout,
    offset: int = 0,
) -> Float[Tensor, "*lead T d"]:
    """A copy of ``keys`` with 2 r of their d coordinates turned, in float32; the dtype is kept.

    Args:
        keys: or whatever holds the coordinates.
        cos: of the angles.
        sin: of the angles.
        layout: how the turned pairs lie.
        offset: of the first turned coordinate.
    """
    turned = keys.float().clone()
    r, start = cos.shape[-1], offset
    first, second = (
        (slice(start, start + r), slice(start + r, start + 2 * r))
        if layout == "half"
        else (slice(start, start + 2 * r, 2), slice(start + 1, start + 2 * r, 2))
    )
    x, y = keys[..., first].float(), keys[..., second].float()
    turned[..., first] = x * cos - y * sin
    turned[..., second] = y * cos + x * sin
    return turned.to(keys.dtype)


def turned_columns(columns: Pair, cos: Float[Tensor, "T r"], sin: Float[Tensor, "T r"], how: Turned) -> Pair:
    """What a layer keeps, with what is turned of it turned; the other tensor is shared.

    Args:
        columns: keys and values of the layer.
        cos: of the angles.
        sin: of the angles.
        how: what is turned.
    """
    keys, values = columns
    if how.layout == "none":
        return columns
    if how.part == "values":
        return keys, turn(values, cos, sin, how.layout, how.offset)
    return turn(keys, cos, sin, how.layout, how.offset), values


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
    probed = [_one_token(model, at) for at in (0, _PROBE)]
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
    turned: list[Turned] = []
    for index, (kind, at_zero, moved) in enumerate(zip(types, *probed, strict=True)):
        rotary = known[kind]
        how = _how(at_zero[0].new_zeros(0) if rotary is None else rotary.short, at_zero, moved)
        if how is None:
            raise refusal(model, f"turns the keys of layer {index} in a way that is not recognised")
        layers.append(None if how.layout == "none" else rotary)
        turned.append(how)
    found = [rotary for rotary in known.values() if rotary is not None]
    every, counted = scaled_every(config) or (None, 0)
    chunks = {w.size for w in measured_columns(model).windows if isinstance(w, Chunks)}
    limit = limit_of(model, found)
    made = Rotations(tuple(layers), tuple(turned), limit, every, counted, tuple(sorted(chunks)))
    return made if made.scaled or _moves(model, made) else replace(made, scaled=1)


def _moves(model: PreTrainedModel, rotations: Rotations) -> bool:
    """Whether a few tokens far on have the keys, turned, and the values that they have at the start."""
    ends = [r.boundary for r in rotations.layers if r is not None and r.boundary is not None]
    far = min([rotations.limit, _FAR, *ends]) - _TOKENS
    for size in rotations.chunks:  # as far into a chunk as at the start
        far -= far % size
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
            how = rotations.turned[index]
            key, value = turned_columns((key, value), by.cos().float(), by.sin().float(), how)
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
    before, after = (_one_token(model, at) for at in (first, first + _PROBE))
    return all(_how(rotary.long, before[i], after[i], first) is not None for i in layers)


@torch.no_grad()
def _one_token(model: PreTrainedModel, position: int) -> list[Pair]:
    """What every layer keeps of one token that stands alone at a position."""
    return [(layer.keys, layer.values) for layer in _columns(model, 1, position).layers]


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


def _how(inverse: Float[Tensor, " r"], before: Pair, moved: Pair, start: int = 0) -> Turned | None:
    """What a layer turns, inferred from one token at ``start`` and ``_PROBE`` positions later."""
    source = torch.full((1,), start, device=moved[0].device)
    by = angles(inverse.to(source.device), source, source + _PROBE)
    cos, sin = by.cos().float(), by.sin().float()
    candidates = [Turned("none")]
    parts: tuple[Turnable, ...] = ("keys", "values")
    for part, tensor in zip(parts, moved, strict=True):
        spare = tensor.shape[-1] - 2 * by.shape[-1]
        # Of expanded keys of a compressed layer the last coordinates are turned, else the first.
        offsets = [] if spare < 0 or not by.shape[-1] else sorted({0, spare})
        candidates += [Turned(layout, part, at) for at in offsets for layout in _LAYOUTS]
    errors = [_miss(turned_columns(before, cos, sin, how), moved) for how in candidates]
    best = min(range(len(candidates)), key=lambda index: errors[index])
    return candidates[best] if errors[best] <= tolerance_of(moved[0].dtype).layout else None


def _miss(found: Pair, wanted: Pair) -> float:
    """The largest difference as a share of the largest number, of the worse of two tensors."""
    return max(
        float((one.float() - two.float()).abs().max() / two.float().abs().max().clamp_min(1e-30))
        for one, two in zip(found, wanted, strict=True)
    )


_FOUND = PerForm(_find)
