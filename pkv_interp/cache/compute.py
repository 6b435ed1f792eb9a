"""The three forwards that edits and splices are made of: prefill, extend, recompute. Plain transformers.

A token's index in the cache is its position in the prompt, always. Every layer keeps every token; where a
family slides, the window is in the mask.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.blocks import BlockLayer, blocks, blocks_between_gaps
from pkv_interp.cache.computed import Computed
from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.masks import (
    WITHOUT_LAYOUT,
    additive_masks,
    check_masks,
    restricted,
    restricts,
    takes_masks,
)
from pkv_interp.cache.measured import measured_columns
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.readable import check_decoder, layer_kinds, stateful_layers
from pkv_interp.cache.rope import scales_by_count
from pkv_interp.cache.state import form_of, refuse_training
from pkv_interp.cache.suffix_attention import unmasked
from pkv_interp.cache.window import Window
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite_logits
from pkv_interp.ids import TokenIds, as_ids


@dataclass(frozen=True, eq=False)
class Runner:
    """A causal language model with keys and values per token; make one with ``Runner.of``.

    Attributes:
        model: the model, in eval mode.
        windows: per layer what a token sees: the number of positions, itself included, chunks, or None for
            all.
        types: per layer the kind of mask that it takes, as the config names it.
        positions: how many it serves, and where its rotary frequencies change.
        form: what the above was read from (``form_of``).
    """

    model: PreTrainedModel
    windows: tuple[Window, ...]
    types: tuple[str, ...]
    positions: Positions
    form: Hashable

    @classmethod
    def of(cls, model: PreTrainedModel) -> Runner:
        """Check what the model keeps per token in every layer, and measure what its layers see.

        A model with a recurrent state gives a ``StateRunner``, one that takes pictures a ``PictureRunner``.

        Raises:
            PkvError: naming what the model has instead (a state outside its cache, cross-attention, a shared
                cache), or that it is not causal, counts from another position, or is in training mode.
        """
        check_decoder(model)
        if stateful_layers(model):
            # These runners are kinds of this one, so their modules cannot be imported before it.
            from pkv_interp.cache.state_runner import StateRunner

            return StateRunner.over(model)
        from pkv_interp.cache.picture_runner import PictureRunner, takes_pictures

        kind: type[Runner] = PictureRunner if takes_pictures(model) else cls
        windows = measured_columns(model).windows
        return kind(model, windows, layer_kinds(model), Positions.of(model), form_of(model))

    def reading(self, cache: FrozenCache, ids: TokenIds = ()) -> Runner:
        """This runner for forwards of one's own over a cache and ``ids`` after it."""
        del cache, ids
        return self

    @property
    def appends_only(self) -> bool:
        """Whether tokens can be run after what is kept, and nowhere else."""
        return False

    @property
    def edits_in_place(self) -> bool:
        """Whether tokens inside a cache can be run again: the model must take masks and positions."""
        return not self.appends_only and takes_masks(self.model)

    @torch.no_grad()
    def prefill(self, ids: TokenIds, layout: AttentionLayout | None = None) -> Computed:
        """Run a whole prompt.

        Args:
            ids: its tokens.
            layout: who sees whom; the cache keeps it, and every later forward over it heeds it.

        Raises:
            PkvError: the prompt is empty or longer than the model serves, an id is outside the vocabulary, or
                logits are not finite; under a layout, an attention that takes no explicit mask.
        """
        ids = self.checked(ids)
        self.positions.check_served(len(ids))
        if layout is not None:
            return self._prefill_under(layout, ids)
        grown = DynamicCache()
        tokens = torch.tensor([list(ids)], device=self.model.device)
        at = torch.arange(len(ids), device=self.model.device)
        with fresh_rotation(self.model):
            logits = self.forward(tokens, at, grown)
        made = FrozenCache.of(grown, self.positions.regime(len(ids)))
        return Computed(made, finite_logits(logits[0, -1].float()))

    def _prefill_under(self, layout: AttentionLayout, ids: Sequence[int]) -> Computed:
        """The tokens that see everything before them as ever, then the others with masks."""
        check_masks(self.model, WITHOUT_LAYOUT)
        if (boundary := self.positions.boundary) is not None and not boundary.same(1, len(ids)):
            cause = f"rotary frequencies change past {boundary.length} tokens, and a layout asks for parts"
            raise PkvError(cause, WITHOUT_LAYOUT)
        free = min(max(layout.first_restricted, 1), len(ids))
        made = self.prefill(ids[:free])
        made = replace(made, cache=replace(made.cache, layout=layout))
        return self.extend(made.cache, ids[free:]) if free < len(ids) else made

    def forward(
        self, tokens: Int[Tensor, "rows n"], at: Int[Tensor, " n"], cache: DynamicCache, **extra: Any
    ) -> Float[Tensor, "rows 1 vocab"]:
        """One forward of the model: logits after the last token of each row; ``cache`` grows by the tokens.

        Call it within ``fresh_rotation``.

        Args:
            tokens: the same number of tokens in each row.
            at: their positions.
            cache: of everything before them.
            **extra: more keywords of the model's.
        """
        model: Any = self.model
        placed = at_positions(model, at, tokens.shape[0])
        out = model(
            input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1, **placed, **extra
        )
        return out.logits

    @torch.no_grad()
    def extend(self, cache: FrozenCache, ids: TokenIds) -> Computed:
        """Run ``ids`` after a cache, at positions ``cache.length`` and on; its columns stay bit for bit.

        The tokens go through the model in blocks (``pkv_interp.cache.blocks``), so that the suffix of a
        prompt costs its share of the prompt's prefill: the multiply-adds of ``len(ids)`` tokens through every
        layer, and of their attention to the columns before each of them.

        Raises:
            PkvError: nothing to run, an id is outside the vocabulary, or the text grows past what the model
                serves, or to a length whose rotary frequencies are not those of the cache.
        """
        if not cache.length:
            return self.prefill(ids)
        ids = self.checked(ids)
        length = cache.length + len(ids)
        self.positions.check_cache(cache, length)
        self.positions.check_served(length)
        layers = self.layers(cache, length)
        at = torch.arange(cache.length, length, device=self.model.device)
        if restricts(cache):
            check_masks(self.model)
        return self._run_blocks(layers, ids, at, length, cache.layout, masked=restricts(cache))

    @torch.no_grad()
    def recompute(self, cache: FrozenCache, positions: TokenIds, ids: TokenIds) -> Computed:
        """Run the tokens at ``positions`` again, in place, with the other columns as they are.

        In every layer each of the chosen tokens reads the fresh columns of the chosen tokens up to itself and
        the old columns of the rest. With all tokens from the first changed one on this is a re-prefill; with
        fewer, the rest stays stale (selective recompute). They go through the model in blocks, as in
        ``extend``: no block computes scores of columns after its last token.

        Args:
            cache: of the whole prompt; it is not changed.
            positions: ascending, without repeats.
            ids: the token at each position, which may differ from the one the cache was made with.

        Raises:
            PkvError: positions not ascending or outside the cache, ids of another number, an attention that
                takes no explicit mask, or rotary frequencies that differ between here and the cache's end.
        """
        where = list(as_ids(positions))
        if where != sorted(set(where)) or not where or where[0] < 0 or where[-1] >= cache.length:
            raise PkvError(
                f"{len(where)} positions do not ascend inside a cache of {cache.length} tokens",
                "give each position once, in order",
            )
        ids = self.checked(ids)
        if len(ids) != len(where):
            raise PkvError(f"{len(ids)} ids for {len(where)} positions", "give one id per position")
        # The forward's frequencies follow from its last position, those of the cache from how it was made.
        self.positions.check_cache(cache, where[-1] + 1)
        check_masks(self.model)
        at = torch.tensor(where, device=self.model.device)
        layers = self.layers(cache, cache.length)
        return self._run_blocks(layers, ids, at, where[-1] + 1, cache.layout, masked=True)

    def masks(
        self, at: Int[Tensor, " block"], layout: AttentionLayout | None, *, whole: bool = False
    ) -> dict[str, Any]:
        """The keyword that gives a model the masks of a block of tokens over what it is given.

        Args:
            at: their positions, ascending.
            layout: who sees whom.
            whole: layers that slide are given all columns, too.
        """
        kinds = dict(zip(self.types, self.windows, strict=True))
        return {"attention_mask": additive_masks(at, kinds, self.model.dtype, layout, whole=whole)}

    def blocks(self, at: Int[Tensor, " n"]) -> Iterator[slice]:
        """The blocks in which tokens at the positions ``at`` are run: one where the rotation asks for it.

        Frequencies follow from the last position of a forward, and all blocks must have the same. A model
        that scales its queries by the number of columns is given tokens that follow one another.
        """
        boundary = self.positions.boundary
        if boundary is not None and not boundary.same(int(at[0]) + 1, int(at[-1]) + 1):
            return blocks(len(at), len(at))
        gaps = scales_by_count(self.model.config.get_text_config())
        return blocks_between_gaps(at.tolist()) if gaps else blocks(len(at))

    def layers(self, cache: FrozenCache, length: int) -> list[BlockLayer]:
        """The columns of a cache with room for ``length``, to run blocks of tokens over."""
        return [
            BlockLayer(key, value, length, window)
            for key, value, window in zip(cache.keys, cache.values, self.windows, strict=True)
        ]

    def _run_blocks(
        self,
        layers: list[BlockLayer],
        ids: Sequence[int],
        at: Int[Tensor, " n"],
        length: int,
        layout: AttentionLayout | None,
        *,
        masked: bool,
    ) -> Computed:
        """Run ``ids`` at the positions ``at``, block after block.

        Args:
            layers: per layer the columns, into which the new ones are written.
            ids: the tokens.
            at: the position of each token.
            length: of the context that sets the rotary frequencies.
            layout: who sees whom.
            masked: give the model explicit masks, which tokens with gaps between them need; otherwise the
                model makes its own for tokens that follow the filled columns.
        """
        tokens = torch.tensor([list(ids)], device=self.model.device)
        logits = tokens
        with fresh_rotation(self.model), unmasked(self.model, self.windows) as keywords:
            for block in self.blocks(at):
                mine = at[block]
                for layer in layers:
                    layer.place(mine)
                grown = DynamicCache()
                grown.layers.extend(layers)
                if restricted(layout, mine):
                    extra = self.masks(mine, layout)
                else:
                    extra = keywords(mine) or (self.masks(mine, layout) if masked else {})
                logits = self.forward(tokens[:, block], mine, grown, **extra)
        keys, values = zip(*(layer.columns for layer in layers), strict=True)
        made = FrozenCache(keys, values, self.positions.regime(length), layout)
        return Computed(made, finite_logits(logits[0, -1].float()))

    def checked(self, ids: TokenIds) -> tuple[int, ...]:
        """Token ids in one form, for a model that is still the one that was read.

        Raises:
            PkvError: there is none, an id is outside the vocabulary, the model is in training mode, or its
                windows, mask or rotation were changed.
        """
        refuse_training(self.model)
        if form_of(self.model) != self.form:
            raise PkvError(
                f"windows, mask or rotation of {type(self.model).__name__} were changed after it was read",
                "make a new Runner (or context) of it",
            )
        tokens = as_ids(ids, int(self.model.config.get_text_config().vocab_size))
        if not tokens:
            raise PkvError("there is no token to run", "give at least one")
        return tokens
