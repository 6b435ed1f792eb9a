"""Attention of tokens that follow cached columns, without a mask over all of those columns.

A kernel that is given a mask reads a number of it for every score, and computes scores that the mask drops.
Here tokens see the columns before the first of them in one call without a mask, and what lies between them
in a second one, causal where they follow one another. Two softmaxes over parts of the columns are joined by
the sums that the kernel returns beside its output, which is exact up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.cache.state import PerForm
from pkv_interp.cache.window import Window
from pkv_interp.errors import RAISED_BY_MODELS
from pkv_interp.tolerances import tolerance_of

_NAME = "pkv_interp_suffix"
_REAL = "sdpa"
#: Tokens with gaps between them that are run together: fewer leave fewer scores to be dropped, more suit the
#: kernel (measured from 64 to 512 on a CPU core, one in ten of 8k tokens).
TOGETHER = 128
#: The check's tokens: so many are cached, and so many follow.
_CACHED, _AFTER = 3, 3


def marker(n: int, like: Tensor) -> Float[Tensor, "1 1 n 1"]:
    """Stands for a mask of ``n`` tokens that see every column up to their own position.

    It is NaN, so that no model can take it for a mask unnoticed.
    """
    return torch.full((1, 1, n, 1), torch.nan, dtype=like.dtype, device=like.device)


@contextmanager
def unmasked(
    model: PreTrainedModel, windows: Sequence[Window]
) -> Iterator[Callable[[Tensor], dict[str, Tensor]]]:
    """Within the context, blocks of tokens can be run without a mask where the model allows that.

    Args:
        model: whose forwards are run.
        windows: per layer; where one is set, masks are needed.

    Yields:
        A function of the positions of a forward's tokens, which gives the keywords of that forward; none
        where it needs a mask.
    """
    config: Any = model.config.get_text_config()
    possible = all(window is None for window in windows) and config._attn_implementation == _REAL
    if not (possible and without_masks(model)):
        yield lambda _: {}
        return
    with suffix_attention(model) as places:

        def keywords(at: Tensor) -> dict[str, Tensor]:
            places[0] = at
            return {"attention_mask": marker(len(at), torch.zeros(1, dtype=model.dtype))}

        yield keywords


@contextmanager
def suffix_attention(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Within the context, a layer that is given ``marker`` for a mask attends without one.

    Yields:
        A list whose only entry the caller sets to the positions of the next forward's tokens.
    """
    config: Any = model.config.get_text_config()
    real, places = config._attn_implementation, [torch.zeros(1, dtype=torch.long)]

    def attend(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        marked = isinstance(mask, Tensor) and mask.shape[-1] == 1 and bool(mask.isnan().all())
        odd = any(kwargs.get(name) is not None for name in ("softcap", "s_aux", "position_bias"))
        if not marked or odd:
            return ALL_ATTENTION_FUNCTIONS[_REAL](module, query, key, value, mask, **kwargs)
        out = causal_attention(query, key, value, places[0], kwargs.get("scaling"))
        return out.transpose(1, 2).contiguous(), None

    AttentionInterface.register(_NAME, attend)
    AttentionMaskInterface.register(_NAME, ALL_MASK_ATTENTION_FUNCTIONS[_REAL])
    config._attn_implementation = _NAME
    try:
        yield places
    finally:
        config._attn_implementation = real
        AttentionInterface._global_mapping.pop(_NAME, None)
        AttentionMaskInterface._global_mapping.pop(_NAME, None)


def causal_attention(
    query: Float[Tensor, "1 H n d"],
    key: Float[Tensor, "1 n_kv T d"],
    value: Float[Tensor, "1 n_kv T d"],
    at: Int[Tensor, " n"],
    scaling: float | None = None,
) -> Float[Tensor, "1 H n d"]:
    """What tokens at the ascending positions ``at`` attend to in columns 0 to T, their own included.

    Args:
        query: of the tokens.
        key: of every column; the last one is that of the last token.
        value: of the same.
        at: position of each token, which is the index of its column.
        scaling: factor on the scores; one over the root of d when None.
    """
    n, places = len(at), at.tolist()
    if n == 1:
        return _flash(query, key, value, False, None, scaling)[0]
    parts = []
    for first, stop in _pieces(places):
        start, end = places[first], places[stop - 1] + 1
        follow = end - start == stop - first
        mine = query[:, :, first:stop]
        mask = None if follow else _mask(at[first:stop], start, end, query.dtype)
        inside = _flash(mine, key[:, :, start:end], value[:, :, start:end], follow, mask, scaling)
        if start:
            before = _flash(mine, key[:, :, :start], value[:, :, :start], False, None, scaling)
            inside = _joined(before, inside)
        parts.append(inside[0])
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def _pieces(places: Sequence[int]) -> list[tuple[int, int]]:
    """Tokens that are run together, as half-open ranges: all where they follow one another, else a few."""
    if places[-1] - places[0] == len(places) - 1:
        return [(0, len(places))]
    found, first = [], 0
    for index in range(1, len(places)):
        if index - first == TOGETHER or places[index] - places[index - 1] > TOGETHER:
            found.append((first, index))
            first = index
    return [*found, (first, len(places))]


def _mask(at: Int[Tensor, " n"], start: int, end: int, dtype: torch.dtype) -> Float[Tensor, "1 1 n T"]:
    hidden = torch.arange(start, end, device=at.device)[None] > at[:, None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=at.device)
    return mask.masked_fill_(hidden, float("-inf"))[None, None]


def _flash(
    query: Tensor, key: Tensor, value: Tensor, causal: bool, mask: Tensor | None, scaling: float | None
) -> tuple[Float[Tensor, "1 H n d"], Float[Tensor, "1 H n"]]:
    """The CPU kernel behind ``scaled_dot_product_attention``, and the logarithm of each softmax's sum."""
    kernel: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return kernel(query, key, value, 0.0, causal, attn_mask=mask, scale=scaling)


def _joined(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Attention over two parts of the columns, from that over each."""
    share = torch.sigmoid(one[1] - other[1])[..., None].to(one[0].dtype)
    return torch.lerp(other[0], one[0], share), torch.logaddexp(one[1], other[1])


def without_masks(model: PreTrainedModel) -> bool:
    """Whether a model's layers can attend in this way, tried once per model and what it rests on.

    It takes the CPU's kernel, the ordinary attention of transformers, and a model that passes its mask on as
    it is given: a few tokens must come out as they do with the model's own masks.
    """
    return _TRIED.of(model)


@torch.no_grad()
def _try(model: PreTrainedModel) -> bool:
    config: Any = model.config.get_text_config()
    kinds = getattr(config, "layer_types", None) or ["full_attention"]
    takes = bool(at_positions(model, torch.zeros(1, dtype=torch.long)))
    if config._attn_implementation != _REAL or model.device.type != "cpu" or set(kinds) != {"full_attention"}:
        return False
    if not takes or hasattr(model.base_model, "build_alibi_tensor"):
        return False
    ids = torch.tensor([[(7 + 31 * i) % int(config.vocab_size) for i in range(_CACHED + _AFTER)]])
    core: Any = model
    found = []
    for marked in (False, True):
        cache, at = DynamicCache(), torch.arange(_CACHED + _AFTER)
        with fresh_rotation(model):
            first = at_positions(model, at[:_CACHED])
            core(input_ids=ids[:, :_CACHED], past_key_values=cache, use_cache=True, **first)
            rest = dict(input_ids=ids[:, _CACHED:], past_key_values=cache, use_cache=True)
            rest |= at_positions(model, at[_CACHED:])
            try:
                if marked:
                    with suffix_attention(model) as places:
                        places[0] = at[_CACHED:]
                        mask = marker(_AFTER, torch.zeros(1, dtype=model.dtype))
                        found.append(core(attention_mask=mask, **rest).logits.float())
                else:
                    found.append(core(**rest).logits.float())
            except RAISED_BY_MODELS:
                return False
    own, ours = found
    return bool((own - ours).abs().max() <= tolerance_of(model.dtype).layout * own.abs().max())


_TRIED = PerForm(_try)
