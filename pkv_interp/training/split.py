"""Losses of a LoRA that is active in one part of a prompt alone: in its prefill, or at its decision token.

The two parts are two forwards with different weights. A reader's prefill is the untouched model's and has no
gradient, so the cache of each batch is made once and kept; a writer's gradient flows from the decision of
the untouched model through the cache into the prefill.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from pkv_interp.cache.forward import at_positions, first_positions, fresh_rotation
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.tokens import TokenSequence

#: Keys and values of a batch of prefixes, per layer.
Columns = tuple[tuple[Float[Tensor, "rows n_kv T d"], Float[Tensor, "rows n_kv T d"]], ...]
Role = Literal["reader", "writer", "both"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(eq=False)
class SplitLosses:
    """Cross-entropy at the decision token, with the adapter where the role has it; a `Losses` of the trainer.

    Attributes:
        role: ``reader``: active at the decision token alone; ``writer``: in the prefill alone; ``both``.
        kept: what the untouched model wrote for the prefixes of a forward, by their tokens: of a pool of
            fixed batches, each comes again as it was. Readers of one model share them.
    """

    role: Role
    kept: dict[tuple[tuple[int, ...], ...], Columns] = field(default_factory=dict)

    def __call__(self, model: PeftModel, group: list[TokenSequence], fill: int) -> tuple[Tensor, Tensor]:
        """Loss and correctness of each sequence's last answer.

        Args:
            model: with the adapter that is trained.
            group: sequences of one forward.
            fill: token that pads the shorter prefixes.

        Raises:
            PkvError: a sequence has other than one answer, or is longer than a window of the model.
        """
        if odd := [one for one in group if len(one.targets) != 1 or one.targets != one.answers]:
            raise PkvError(
                f"a sequence has {len(odd[0].targets)} supervised positions", "give prompts with one decision"
            )
        at = [one.targets[0] for one in group]
        prefixes = [one.ids[:t] for one, t in zip(group, at, strict=True)]
        deciding = torch.tensor([one.ids[t] for one, t in zip(group, at, strict=True)], device=model.device)
        gold = torch.tensor([one.ids[t + 1] for one, t in zip(group, at, strict=True)], device=model.device)
        device = torch.device(model.device).type
        half = torch.is_autocast_enabled(device)
        if self.role == "reader":
            cache = self._kept(model, prefixes, fill)
            # Of one token a row, casting all weights to bfloat16 costs more than it saves. Those that are
            # held in it (`halves.hold_halves`) multiply in it all the same.
            half = False
        else:
            cache = write(_core(model), prefixes, fill)
        with _adapter(model, on=self.role != "writer"), torch.autocast(device, torch.bfloat16, enabled=half):
            logits = decide(_core(model), deciding, [len(prefix) for prefix in prefixes], cache)
        losses = torch.nn.functional.cross_entropy(logits, gold, reduction="none")
        finite(losses.detach(), "the training losses", "train in float32, or lower the learning rate")
        return losses, logits.argmax(-1) == gold

    def _kept(self, model: PeftModel, prefixes: Sequence[tuple[int, ...]], fill: int) -> DynamicCache:
        """The untouched model's cache of a batch; that of a batch not seen before is made and kept."""
        key = tuple(prefixes)
        if key not in self.kept:
            with torch.no_grad(), _adapter(model, on=False):
                made: list[Any] = write(_core(model), key, fill).layers
            half = torch.is_autocast_enabled(torch.device(model.device).type)
            # What a prefill in bfloat16 wrote has no more digits than that.
            dtype = torch.bfloat16 if half else _core(model).dtype
            self.kept[key] = tuple((layer.keys.to(dtype), layer.values.to(dtype)) for layer in made)
        return _opened(self.kept[key], _core(model).dtype)


def _core(model: PeftModel) -> Any:
    return model.get_base_model()


@contextmanager
def _adapter(model: PeftModel, on: bool) -> Iterator[None]:
    """Forwards within run with the adapter, or without it."""
    if on:
        yield
    else:
        with cast(Any, model).disable_adapter():
            yield


def write(core: Any, prefixes: Sequence[tuple[int, ...]], fill: int) -> DynamicCache:
    """The cache of prefixes, right-padded to one length. A causal mask keeps padding from real tokens.

    Args:
        core: the causal model.
        prefixes: token ids.
        fill: token that pads the shorter ones.
    """
    longest = max(map(len, prefixes))
    ids = torch.tensor([[*p, *[fill] * (longest - len(p))] for p in prefixes], device=core.device)
    cache = DynamicCache()
    with fresh_rotation(core):
        core.model(input_ids=ids, past_key_values=cache, use_cache=True, **first_positions(core.model, ids))
    return cache


def decide(
    core: Any, deciding: Int[Tensor, " rows"], lengths: Sequence[int], cache: DynamicCache
) -> Float[Tensor, "rows vocab"]:
    """Logits after one more token in each row, which sees its row's prefix and none of its padding.

    Args:
        core: the causal model.
        deciding: the token of each row.
        lengths: of the prefixes; the rest of a row's columns is padding.
        cache: of the prefixes; it grows by the tokens.

    Raises:
        PkvError: a window of the model is shorter than a prompt.
    """
    filled = cache.get_seq_length()
    check_windows(core, filled + 1)
    ends = torch.tensor(list(lengths), device=deciding.device)
    columns = torch.arange(filled + 1, device=deciding.device)
    hidden = (columns[None] >= ends[:, None]) & (columns[None] < filled)
    mask = torch.zeros(hidden.shape, dtype=core.dtype, device=deciding.device)
    mask = mask.masked_fill_(hidden, torch.finfo(mask.dtype).min)[:, None, None]
    kinds = set(getattr(core.config.get_text_config(), "layer_types", None) or ())
    # Every row's token has the place after its prefix, whatever column it takes.
    placed = {"position_ids": ends[:, None]} if at_positions(core.model, ends) else {}
    with fresh_rotation(core):
        ran = core.model(
            input_ids=deciding[:, None],
            past_key_values=cache,
            use_cache=True,
            attention_mask={kind: mask for kind in kinds} if len(kinds) > 1 else mask,
            **placed,
        )
    return logits_of(core, ran.last_hidden_state[:, -1])


def check_windows(core: Any, length: int) -> None:
    """Refuse prompts that a window of the model is shorter than.

    Args:
        core: the causal model.
        length: of the longest prompt.

    Raises:
        PkvError: one is.
    """
    window = getattr(core.config.get_text_config(), "sliding_window", None)
    if window is not None and length > window:
        raise PkvError(
            f"a prompt of {length} tokens does not fit the model's window of {window}",
            "train on shorter prompts, or on a model without windows",
        )


def _opened(columns: Columns, dtype: torch.dtype) -> DynamicCache:
    """A cache that grows beside what is kept and leaves that as it is."""
    opened = DynamicCache()
    for keys, values in columns:
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.dtype = dtype
        layer.keys, layer.values = keys.to(dtype), values.to(dtype)
        opened.layers.append(layer)
    return opened
