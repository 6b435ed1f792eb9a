"""A runner of a vision-language model: prompts with pictures, edited and moved as text is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.cache.forward import text_decoder
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.pictures import (
    Picture,
    Pictured,
    has_three_axes,
    joined_pictures,
    picture_token,
    place,
)
from pkv_interp.errors import PkvError
from pkv_interp.ids import TokenIds, as_ids


def with_pictures(runner: Runner, pictures: Sequence[Picture]) -> Runner:
    """The runner for a context in which picture tokens stand for ``pictures``, in order.

    Raises:
        PkvError: the model takes no pictures.
    """
    if not pictures:
        return runner
    if not isinstance(runner, PictureRunner):
        raise PkvError(
            f"{type(runner.model).__name__} takes no pictures", "load the whole vision-language model"
        )
    return replace(runner, pictures=tuple(pictures))


@dataclass(frozen=True, eq=False)
class PictureRunner(Runner):
    """A runner whose caches know where their columns stand once there is a picture among them.

    Attributes:
        pictures: of the context, in order.
        showing: the columns that the forwards under way are about, and what they show.
    """

    pictures: tuple[Picture, ...] = ()
    showing: Pictured | None = None

    @torch.no_grad()
    def prefill(self, ids: TokenIds, layout: AttentionLayout | None = None) -> Computed:
        """Run a whole prompt.

        Raises:
            PkvError: as ``Runner.prefill``; picture tokens that stand for no picture, or are too few.
        """
        placed = self._after(None, as_ids(ids))
        return _told(super(PictureRunner, self._showing(placed)).prefill(ids, layout), placed)

    @torch.no_grad()
    def extend(self, cache: FrozenCache, ids: TokenIds) -> Computed:
        """Run ``ids`` after a cache.

        Raises:
            PkvError: as ``Runner.extend``; picture tokens that stand for no picture, or are too few.
        """
        if not cache.length:
            return self.prefill(ids)
        placed = self._after(cache, as_ids(ids))
        return _told(super(PictureRunner, self._showing(placed)).extend(cache, ids), placed)

    @torch.no_grad()
    def recompute(self, cache: FrozenCache, positions: TokenIds, ids: TokenIds) -> Computed:
        """Run the tokens at some columns again, in place; of a picture's tokens the tower's vectors stand.

        Raises:
            PkvError: as ``Runner.recompute``; a picture token where there was text, or the other way round.
        """
        where, tokens = as_ids(positions), as_ids(ids)
        inside = len(where) == len(tokens) and all(0 <= at < cache.length for at in where)
        if cache.pictured is not None and inside:  # else refused below
            shown = cache.pictured.shown.tolist()
            if any(shown[at] != (one == self._token) for at, one in zip(where, tokens, strict=True)):
                raise PkvError(
                    "a picture's token was to be put in the place of text, or the other way round",
                    "prefill the context anew",
                )
        made = super(PictureRunner, self._showing(cache.pictured)).recompute(cache, positions, ids)
        return _told(made, cache.pictured)

    def forward(
        self, tokens: Int[Tensor, "rows n"], at: Int[Tensor, " n"], cache: DynamicCache, **extra: Any
    ) -> Float[Tensor, "rows 1 vocab"]:
        """One forward of the model, the tower's vectors in the place of picture tokens.

        Args:
            tokens: the same number in each row.
            at: their columns.
            cache: of everything before them.
            **extra: more keywords of the model's.
        """
        if self.showing is None:
            return super().forward(tokens, at, cache, **extra)
        here = self.showing.columns(at)
        model, rows = self.model, tokens.shape[0]
        axes = here.places[:, None] if has_three_axes(model) else here.places[0][None]
        placed: dict[str, Any] = {"position_ids": axes.expand(*axes.shape[:-2], rows, -1)}
        vectors = model.get_input_embeddings()(tokens)
        if bool(here.shown.any()):
            vectors = vectors.clone()
            vectors[:, here.shown] = here.tokens.to(vectors.dtype)
            if here.deep:
                placed["visual_pos_masks"] = here.shown.expand(rows, -1)
                placed["deepstack_visual_embeds"] = [one.repeat(rows, 1) for one in here.deep]
        # The whole model would make positions and vectors of its own; its decoder takes them.
        decoder: Any = text_decoder(model)
        hidden = decoder(inputs_embeds=vectors, past_key_values=cache, use_cache=True, **placed, **extra)[0]
        head: Any = model.get_output_embeddings()
        return head(hidden[:, -1:])

    def reading(self, cache: FrozenCache, ids: TokenIds = ()) -> Self:
        """This runner for forwards of one's own over a cache and ``ids`` after it."""
        if self.showing is not None:
            return self
        return self._showing(self._after(cache, as_ids(ids)) if as_ids(ids) else cache.pictured)

    def _showing(self, placed: Pictured | None) -> Self:
        return replace(self, showing=placed)

    @property
    def _token(self) -> int:
        token = picture_token(self.model)
        assert token is not None  # ``Runner.of`` makes this kind of models that take pictures alone
        return token

    def _after(self, cache: FrozenCache | None, ids: Sequence[int]) -> Pictured | None:
        """Where the columns of a cache and of ``ids`` after it stand; None where no picture is among them."""
        before = None if cache is None else cache.pictured
        if before is None and self._token not in ids:
            return None
        embedding: Any = self.model.get_input_embeddings()
        like = embedding.weight[:0]
        start, used = (0, 0) if cache is None else (cache.end, 0)
        if before is not None:
            used = len(before.tokens)
            if self._token in ids:
                self._check_first(before.tokens)
        new = place(ids, self.pictures, self._token, start, used, like)
        if cache is None:
            return new
        old = Pictured.text(0, cache.length, like) if before is None else before
        return joined_pictures([old, new])

    def _check_first(self, tokens: Tensor) -> None:
        """Refuse pictures that are not those of the cache, with more after them."""
        mine = [one.tokens for one in self.pictures]
        first = torch.cat(mine)[: len(tokens)] if mine else tokens[:0]
        if first.shape != tokens.shape or not torch.equal(first, tokens.to(first.dtype)):
            raise PkvError(
                "the cache shows other pictures than the first of those that were given",
                "give every picture of the context, in order",
            )


def _told(made: Computed, placed: Pictured | None) -> Computed:
    return made if placed is None else replace(made, cache=replace(made.cache, pictured=placed))


def takes_pictures(model: PreTrainedModel) -> bool:
    """Whether prompts of a model can have pictures among their text."""
    return picture_token(model) is not None
