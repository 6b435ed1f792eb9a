"""Losses of a reader: prompts whose cache had columns replaced after the prefill, as an edit in place does.

The prefill is the start model's and has no gradient, or the trained model's own where the adapter acts
everywhere; columns that are put in have none in either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache.forward import at_positions, fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.courses import Active
from pkv_interp.training.losses import micro_batches, supervised_losses
from pkv_interp.training.split import check_windows, write
from pkv_interp.training.tokens import TokenSequence


@dataclass(frozen=True)
class ReplacedSequence(TokenSequence):
    """A prompt with what is done to its cache.

    Attributes:
        end: first token of the last block.
        donor: ids of a prompt of the same length, whose columns are put in; None where nothing is.
        replaced: positions of these columns, all before ``end``.
    """

    end: int
    donor: tuple[int, ...] | None
    replaced: tuple[int, ...]

    def begins_at(self, active: Active) -> int:
        """The first token that runs over the replaced columns."""
        return self.targets[0] if active == "decision" else self.end


def replaced_batches(sequences: list[TokenSequence], budget: int) -> list[list[TokenSequence]]:
    """Micro-batches of prompts, and of chats, which are run in another way."""
    prompts = [one for one in sequences if isinstance(one, ReplacedSequence)]
    chats = [one for one in sequences if not isinstance(one, ReplacedSequence)]
    return [*micro_batches([*prompts], budget), *micro_batches(chats, budget)]


@dataclass(frozen=True, eq=False)
class ReplacedLosses:
    """A `Losses` of the trainer: of prompts at their decision, of chats everywhere.

    Attributes:
        active: where the adapter acts.
        writer: the model that writes caches before that; not read where the adapter acts everywhere.
    """

    active: Active
    writer: Any = None

    def __call__(self, model: Any, group: list[TokenSequence], fill: int) -> tuple[Tensor, Tensor]:
        """Loss and correctness of each prompt's answer, or of a group of chats.

        Raises:
            PkvError: a prompt is longer than a window of the model.
        """
        prompts = [one for one in group if isinstance(one, ReplacedSequence)]
        if not prompts:
            return supervised_losses(model, group, fill)
        if len(prompts) < len(group):
            raise PkvError("chats and prompts share a forward", "group them with replaced_batches")
        logits = self.logits(model, prompts, fill)
        gold = torch.tensor([one.ids[one.targets[0] + 1] for one in prompts], device=logits.device)
        losses = torch.nn.functional.cross_entropy(logits, gold, reduction="none")
        finite(losses.detach(), "the training losses", "train in float32, or lower the learning rate")
        return losses, logits.argmax(-1) == gold

    def logits(
        self, model: Any, prompts: Sequence[ReplacedSequence], fill: int
    ) -> Float[Tensor, "rows vocabulary"]:
        """What the model says at each prompt's decision token, over the cache with replaced columns.

        Args:
            model: with the adapter, or merged with it.
            prompts: one or more.
            fill: token that pads the shorter ones.

        Raises:
            PkvError: a prompt is longer than a window of the model.
        """
        core: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        starts = [one.begins_at(self.active) for one in prompts]
        cache = self._written(core, prompts, starts, fill)
        rest = [one.ids[start : one.targets[0] + 1] for one, start in zip(prompts, starts, strict=True)]
        last = torch.tensor([len(ids) - 1 for ids in rest], device=core.device)
        hidden = run_after(core, rest, starts, cache, fill)
        return logits_of(core, hidden[torch.arange(len(rest), device=core.device), last])

    def _written(
        self, core: Any, prompts: Sequence[ReplacedSequence], starts: Sequence[int], fill: int
    ) -> DynamicCache:
        """Caches of what comes before, with the donors' columns put in."""
        writer = core if self.active == "all" else self.writer
        prefixes = [one.ids[:start] for one, start in zip(prompts, starts, strict=True)]
        with torch.set_grad_enabled(self.active == "all" and torch.is_grad_enabled()):
            cache = write(writer, prefixes, fill)
        edited = [row for row, one in enumerate(prompts) if one.donor is not None and one.replaced]
        if not edited:
            return cache
        donors = [(prompts[row].donor or ())[: starts[row]] for row in edited]
        with torch.no_grad():
            given = write(writer, donors, fill)
        to = [(row, at) for row in edited for at in prompts[row].replaced]
        taken = [(number, at) for number, row in enumerate(edited) for at in prompts[row].replaced]
        return replaced(cache, given, to, taken)


def replaced(
    cache: DynamicCache,
    donors: DynamicCache,
    to: Sequence[tuple[int, int]],
    taken: Sequence[tuple[int, int]],
) -> DynamicCache:
    """A cache with columns of others in it; gradients flow through the columns that stay.

    Args:
        cache: of rows.
        donors: of other rows.
        to: row and position of each column that is replaced.
        taken: row and position among the donors of the column that is put there.
    """
    layers: list[Any] = list(cache.layers)
    others: list[Any] = list(donors.layers)
    made = DynamicCache()
    at = [torch.tensor(list(each), device=layers[0].keys.device) for each in zip(*to, strict=True)]
    given = [torch.tensor(list(each), device=layers[0].keys.device) for each in zip(*taken, strict=True)]

    def put(mine: Tensor, theirs: Tensor) -> Tensor:
        columns = theirs.transpose(1, 2)[given[0], given[1]]
        return mine.transpose(1, 2).index_put((at[0], at[1]), columns).transpose(1, 2)

    for mine, theirs in zip(layers, others, strict=True):
        keys, values = put(mine.keys, theirs.keys), put(mine.values, theirs.values)
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        made.layers.append(layer)
    return made


def run_after(
    core: Any,
    rest: Sequence[Sequence[int]],
    lengths: Sequence[int],
    cache: DynamicCache,
    fill: int,
) -> Float[Tensor, "rows n width"]:
    """Last hidden states of tokens after each row's prefix; none sees the padding of a prefix.

    Args:
        core: the causal model.
        rest: tokens of each row.
        lengths: of the prefixes; the rest of a row's columns is padding.
        cache: of the prefixes; it grows.
        fill: token that pads the shorter rests.

    Raises:
        PkvError: a window of the model is shorter than a prompt.
    """
    filled, longest = cache.get_seq_length(), max(map(len, rest))
    check_windows(core, filled + longest)
    ids = torch.tensor([[*one, *[fill] * (longest - len(one))] for one in rest], device=core.device)
    ends = torch.tensor(list(lengths), device=core.device)
    mask = _mask(ends, filled, longest, core.dtype)
    kinds = set(getattr(core.config.get_text_config(), "layer_types", None) or ())
    steps = torch.arange(longest, device=core.device)
    placed = {"position_ids": ends[:, None] + steps[None]} if at_positions(core.model, steps) else {}
    with fresh_rotation(core):
        return core.model(
            input_ids=ids,
            past_key_values=cache,
            use_cache=True,
            attention_mask={kind: mask for kind in kinds} if len(kinds) > 1 else mask,
            **placed,
        ).last_hidden_state


def _mask(
    ends: Int[Tensor, " rows"], filled: int, new: int, dtype: torch.dtype
) -> Float[Tensor, "rows 1 new columns"]:
    columns = torch.arange(filled + new, device=ends.device)
    padding = (columns[None] >= ends[:, None]) & (columns[None] < filled)
    later = columns[None] > filled + torch.arange(new, device=ends.device)[:, None]
    hidden = padding[:, None] | later[None]
    mask = torch.zeros(hidden.shape, dtype=dtype, device=ends.device)
    return mask.masked_fill_(hidden, torch.finfo(dtype).min)[:, None]
