"""Additive masks over a cache: causal, with windows, and with an attention layout."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Int
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.forward import at_positions
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.window import Window, first_seen, unseen
from pkv_interp.errors import PkvError

#: Attention that takes an additive mask of four dimensions.
_MASKED = ("sdpa", "eager")


def restricts(cache: FrozenCache) -> bool:
    """Whether a token that comes right after a cache may not see all of it."""
    return cache.layout is not None and cache.length < cache.layout.end


def restricted(layout: AttentionLayout | None, at: Int[Tensor, " n"]) -> bool:
    """Whether some tokens, at the ascending positions ``at``, may not see all that stands before them."""
    return layout is not None and int(at[0]) < layout.end and layout.first_restricted < layout.end


def refuse_restricted(cache: FrozenCache) -> None:
    """Refuse a cache whose prompt is not whole under its layout, where the model makes its own masks.

    Raises:
        PkvError: tokens before the layout's last block would come after it.
    """
    if restricts(cache):
        assert cache.layout is not None
        raise PkvError(
            f"the cache has {cache.length} tokens, and the last block of its attention layout begins at "
            f"{cache.layout.end}",
            "run the tokens before the last block with Runner.extend first",
        )


def additive_masks(
    at: Int[Tensor, " block"],
    kinds: Mapping[str, Window],
    dtype: torch.dtype,
    layout: AttentionLayout | None = None,
    *,
    whole: bool = False,
) -> Tensor | dict[str, Tensor]:
    """Masks Float[1, 1, block, seen] of a block of tokens, one per kind of layer where kinds differ.

    Columns are those from the oldest that the first token can see, or from the first of all, to the block's
    last token.

    Args:
        at: positions of the tokens, ascending.
        kinds: the window of every kind of layer, None where all is seen.
        dtype: of the model.
        layout: who sees whom, beyond that.
        whole: layers that slide are given all columns, too.
    """
    start, stop = int(at[0]), int(at[-1]) + 1
    made: dict[str, Tensor] = {}
    for kind, window in kinds.items():
        first = 0 if whole else first_seen(start, window)
        columns = torch.arange(first, stop, device=at.device)
        hidden = unseen(at, columns, window)
        if layout is not None:
            hidden |= layout.hidden(at, columns)
        mask = torch.zeros(hidden.shape, dtype=dtype, device=at.device)
        made[kind] = mask.masked_fill_(hidden, torch.finfo(dtype).min)[None, None]
    return made if len(made) > 1 else next(iter(made.values()))


#: What serves where tokens with gaps between them cannot be run.
_APPENDING = "use erratum, hoist, suffix_recompute or full_reprefill"
#: The way out where a layout asks for masks.
WITHOUT_LAYOUT = "leave out the attention layout (isolated fields, blind chunks)"


def check_masks(model: PreTrainedModel, hint: str = _APPENDING) -> None:
    """Refuse a model that takes no positions, or no additive mask of four dimensions.

    Args:
        model: in eval mode.
        hint: what to do instead.

    Raises:
        PkvError: naming which.
    """
    if hasattr(model.base_model, "build_alibi_tensor"):
        raise PkvError(
            f"{type(model).__name__} builds ALiBi from its mask and takes none of four dimensions",
            hint,
        )
    if not at_positions(model, torch.zeros(1, dtype=torch.long)):
        raise PkvError(
            f"{type(model).__name__} takes no positions, which tokens with gaps between them need",
            hint,
        )
    if model.config._attn_implementation not in _MASKED:
        raise PkvError(
            f"attention '{model.config._attn_implementation}' takes no explicit mask",
            "load the model with attn_implementation sdpa or eager",
        )


def takes_masks(model: PreTrainedModel) -> bool:
    """Whether ``check_masks`` lets a model pass."""
    try:
        check_masks(model)
    except PkvError:
        return False
    return True
