"""Whether a model reads a text from left to right from position 0 on, measured on a few tokens.

An encoder with a language-model head, or a decoder whose causal mask is switched off, runs over a cache
without a word; a model that counts its positions from another number gives other numbers under ours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.tolerances import tolerance_of

#: Runs token ids [rows, n] and gives the last hidden states; ``placed`` says whether positions are given.
Hidden = Callable[[Tensor, DynamicCache, bool], Tensor]


@torch.no_grad()
def check_causal(model: PreTrainedModel, ids: list[int], other: int, cache: DynamicCache) -> None:
    """Refuse a model in which earlier tokens see later ones, or whose positions do not begin at 0.

    Args:
        model: in eval mode.
        ids: a few tokens.
        other: a token that differs from the last of them.
        cache: an empty one; it is filled.

    Raises:
        PkvError: naming which of the two.
    """
    tokens = torch.tensor([ids, [*ids[:-1], other]], device=model.device)
    out = hidden(model, tokens, cache)
    layers: list[Any] = cache.layers
    columns = [t[:, :, :-1] for layer in layers for t in (layer.keys, layer.values)]
    # Rows of a batch, and batches of other sizes, may be rounded in another order.
    allowed = tolerance_of(model.dtype).layout
    if any(_differ(one[:1], one[1:], allowed) for one in (out[:, :-1], *columns)):
        raise PkvError(
            f"tokens of {type(model).__name__} see the tokens after them: it is not causal",
            "use a decoder, a language model that reads from left to right",
        )
    with _without_image(model):
        own = hidden(model, tokens[:1], DynamicCache(), placed=False)
    if _differ(out[:1], own, allowed):
        raise PkvError(
            f"{type(model).__name__} does not number the tokens of a text 0, 1, 2 as the suite does",
            "use a model whose positions begin at 0",
        )


def hidden(
    model: PreTrainedModel, tokens: Tensor, cache: DynamicCache, start: int = 0, *, placed: bool = True
) -> Float[Tensor, "rows n d_model"]:
    """The last hidden states of tokens after a cache, in float32.

    Args:
        model: whose forward is run.
        tokens: ids, the same number in each row.
        cache: of what stands before them; it grows.
        start: position of the first.
        placed: give the positions, so that none of a model's earlier prompts is remembered in their place.
    """
    inner: Any = model.base_model
    at = torch.arange(start, start + tokens.shape[1], device=model.device)
    given = at_positions(inner, at, tokens.shape[0]) if placed else {}
    with fresh_rotation(model):
        return inner(input_ids=tokens, past_key_values=cache, use_cache=True, **given)[0].float()


class _without_image:  # noqa: N801 - reads as a statement
    """Within the context a vision model remembers no offset of an earlier image."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._kept: list[tuple[Any, Any]] = [
            (m, vars(m)["rope_deltas"]) for m in model.modules() if "rope_deltas" in vars(m)
        ]

    def __enter__(self) -> None:
        for module, _ in self._kept:
            module.rope_deltas = None

    def __exit__(self, *_: object) -> None:
        for module, offset in self._kept:
            module.rope_deltas = offset


def _differ(one: Tensor, other: Tensor, allowed: float) -> bool:
    """By more than a share of the largest; not finite is told elsewhere."""
    miss, most = float((one - other).abs().max()), float(one.abs().max())
    return miss > allowed * most
