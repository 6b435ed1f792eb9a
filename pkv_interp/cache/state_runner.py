"""A model with a recurrent or convolutional state, run over what it keeps of a prefix: it only appends."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.blocks import BlockLayer, blocks
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.measured import first_ids, refuse_dtype
from pkv_interp.cache.positions import Positions
from pkv_interp.cache.readable import own_cache
from pkv_interp.cache.state import PerForm, form_of
from pkv_interp.cache.state_cache import APPENDING, StateCache
from pkv_interp.errors import RAISED_BY_MODELS, PkvError
from pkv_interp.finite import finite_logits
from pkv_interp.ids import TokenIds
from pkv_interp.tolerances import tolerance_of

#: Tokens of the check: so many stand before, and so many are appended.
_BEFORE, _AFTER, _TEXTS = 5, 4, 3
_LONGEST = 120


@dataclass(frozen=True, eq=False)
class StateRunner(Runner):
    """A runner that prefills and appends, and refuses whatever asks for a column.

    Attributes:
        alone: tokens after a state are run one at a time, where the model reads several of them otherwise.
    """

    alone: bool = False

    @classmethod
    def over(cls, model: PreTrainedModel) -> Self:
        """Check that what the model keeps stands for the tokens before.

        Raises:
            PkvError: the model is not causal, numbers its tokens otherwise, or loses something of them.
        """
        return cls(model, (), (), Positions.of(model), form_of(model), alone=_ALONE.of(model))

    @property
    def appends_only(self) -> bool:
        """Whether tokens can be run after what is kept, and nowhere else."""
        return True

    @torch.no_grad()
    def prefill(self, ids: TokenIds, layout: AttentionLayout | None = None) -> Computed:
        """Run a whole prompt.

        Raises:
            PkvError: as ``Runner.prefill``; an attention layout.
        """
        if layout is not None:
            self._refuse("takes no attention layout")
        empty = StateCache((), (), taken=own_cache(self.model), model=type(self.model).__name__)
        return self._appended(empty, self.checked(ids))

    @torch.no_grad()
    def extend(self, cache: FrozenCache, ids: TokenIds) -> Computed:
        """Run ``ids`` after a state, which stays as it is.

        Raises:
            PkvError: as ``Runner.extend``; a cache of another kind.
        """
        ids = self.checked(ids)
        if not cache.length:
            return self.prefill(ids)
        if not isinstance(cache, StateCache):
            self._refuse("goes on from a state of its own alone")
        self.positions.check_cache(cache, cache.length + len(ids))
        return self._appended(cache, ids)

    def recompute(self, cache: FrozenCache, positions: TokenIds, ids: TokenIds) -> Computed:
        """Refused: no token can be run again in place.

        Raises:
            PkvError: always.
        """
        del cache, positions, ids
        self._refuse("runs no token again in place")

    def forward(
        self, tokens: Int[Tensor, "rows n"], at: Int[Tensor, " n"], cache: DynamicCache, **extra: Any
    ) -> Float[Tensor, "rows 1 vocab"]:
        """As ``Runner.forward``; the cache is the model's own."""
        return _logits(self.model, tokens, at, cache, self.alone, **extra)[:, -1:]

    def layers(self, cache: FrozenCache, length: int) -> list[BlockLayer]:
        """Refused: there are no columns.

        Raises:
            PkvError: always.
        """
        del cache, length
        self._refuse("has no columns to compute in part")

    def blocks(self, at: Int[Tensor, " n"]) -> Iterator[slice]:
        """The blocks in which tokens are run: one where the rotation of attention in between asks for it.

        One as well where later blocks would be read token by token.
        """
        boundary = self.positions.boundary
        one = boundary is not None and not boundary.same(int(at[0]) + 1, int(at[-1]) + 1)
        return blocks(len(at), len(at) if one or self.alone else None)

    def _appended(self, before: StateCache, ids: Sequence[int]) -> Computed:
        length = before.length + len(ids)
        self.positions.check_served(length)
        grown, tokens = before.view(), torch.tensor([list(ids)], device=self.model.device)
        at = torch.arange(before.length, length, device=self.model.device)
        logits = tokens
        with fresh_rotation(self.model):
            for block in self.blocks(at):
                logits = self.forward(tokens[:, block], at[block], grown)
        made = StateCache(
            (),
            (),
            self.positions.regime(length),
            taken=grown,
            tokens=length,
            before=before,
            model=type(self.model).__name__,
        )
        return Computed(made, finite_logits(logits[0, -1].float()))

    def _refuse(self, why: str) -> NoReturn:
        raise PkvError(f"{type(self.model).__name__} has a recurrent state: it {why}", APPENDING)


def _logits(
    model: PreTrainedModel,
    tokens: Int[Tensor, "rows n"],
    at: Int[Tensor, " n"],
    cache: DynamicCache | None,
    alone: bool = False,
    **extra: Any,
) -> Float[Tensor, "rows n vocab"]:
    """Logits after every token, or after those that the model gives; the cache grows."""
    core: Any = model
    takes = inspect.signature(model.forward).parameters
    name = "past_key_values" if "past_key_values" in takes else "cache_params"
    given = {} if cache is None else {name: cache}
    # The first tokens of all are read together as well by models that then go on one by one.
    steps = blocks(len(at), 1) if alone and int(at[0]) else blocks(len(at), len(at))
    made = [
        core(
            input_ids=tokens[:, step],
            use_cache=cache is not None,
            **given,
            **at_positions(model, at[step], tokens.shape[0]),
            **extra,
        ).logits
        for step in steps
    ]
    return torch.cat(made, 1)


@torch.no_grad()
def _check(model: PreTrainedModel) -> bool:
    """Whether tokens after a state must be run one at a time.

    Raises:
        PkvError: what is kept does not stand for the tokens before, even then.
    """
    what, ids = type(model).__name__, first_ids(model, _BEFORE + _AFTER)
    try:
        with fresh_rotation(model):
            _check_order(model, ids)
            missed = {alone: _missed(model, ids, alone) for alone in (False, True)}
    except RAISED_BY_MODELS as error:
        if isinstance(error, PkvError):
            raise
        refuse_dtype(error, model)
        told = " ".join(str(error).split())[:_LONGEST]
        raise PkvError(
            f"{what} does not run over a state that it kept: {told}",
            "use a model whose state lies in its cache",
        ) from error
    allowed = tolerance_of(model.dtype).layout
    if missed[False] <= allowed:
        return False
    if missed[True] <= allowed:
        return True
    raise PkvError(
        f"tokens that {what} reads over its state are not those of the whole text: off by "
        f"{min(missed.values()):.1e}",
        "use full prompts of this model, or another one",
    )


def _check_order(model: PreTrainedModel, ids: Sequence[int]) -> None:
    """Earlier tokens see nothing of later ones, and positions begin at 0."""
    at = torch.arange(len(ids), device=model.device)
    tokens = torch.tensor([ids, [*ids[:-1], ids[0]]], device=model.device)
    core: Any = model
    ours, allowed = _logits(model, tokens, at, None), tolerance_of(model.dtype).layout
    own = core(input_ids=tokens[:1], use_cache=False).logits
    size = float(ours.abs().max())
    if float((ours[0, :-1] - ours[1, :-1]).abs().max()) > allowed * size:
        raise PkvError(
            f"tokens of {type(model).__name__} see the tokens after them: it is not causal",
            "use a decoder, a language model that reads from left to right",
        )
    if float((own[0] - ours[0]).abs().max()) > allowed * size:
        raise PkvError(
            f"{type(model).__name__} does not number the tokens of a text 0, 1, 2 as the suite does",
            "use a model whose positions begin at 0",
        )


def _missed(model: PreTrainedModel, ids: Sequence[int], alone: bool) -> float:
    """How far tokens over a copied state are from those of the whole text.

    Rounding can choose other experts for a token, so that of three texts the best counts.
    """
    size, found = int(model.config.get_text_config().vocab_size), []
    at = torch.arange(len(ids), device=model.device)
    for shift in range(_TEXTS):
        tokens = torch.tensor([[(token + shift) % size for token in ids]], device=model.device)
        whole = _logits(model, tokens, at, None)[0, _BEFORE:]
        taken = own_cache(model)
        _logits(model, tokens[:, :_BEFORE], at[:_BEFORE], taken)
        kept = StateCache((), (), taken=taken, tokens=_BEFORE)
        misses = []
        for _ in range(2):  # the second reads what the first must have left as it was
            after = _logits(model, tokens[:, _BEFORE:], at[_BEFORE:], kept.view(), alone)[0]
            misses.append(float((after - whole).abs().max() / whole.abs().max().clamp_min(1e-30)))
        found.append(max(misses))
    return min(found)


_ALONE = PerForm(_check)
