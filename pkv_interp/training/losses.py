"""Micro-batches of token sequences, and the losses at their supervised positions.

The two members of a pair, and the pairs over one document, share what stands before they part. That part runs
once, and the rest of each member over its cache; gradients flow through the cache, so the losses and their
gradients are those of whole sequences.
"""

from collections.abc import Callable
from os.path import commonprefix
from typing import Any

import torch
from jaxtyping import Float, Int
from peft import PeftModel
from transformers import DynamicCache

from pkv_interp.cache.forward import at_positions, first_positions, fresh_rotation
from pkv_interp.finite import finite
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.tokens import TokenSequence, pad

#: Of a model, the sequences of one forward and the token that pads them: loss at every supervised position,
#: and whether the most likely token there is right.
Losses = Callable[[Any, list[TokenSequence], int], tuple[torch.Tensor, torch.Tensor]]
#: Fewest common tokens that are worth a forward of their own.
LEAST_SHARED = 64
#: Least part of its common beginning that a group keeps when a member that shares less of it joins.
KEPT = 0.85


def micro_batches(sequences: list[TokenSequence], budget: int) -> list[list[TokenSequence]]:
    """Group sequences of similar length so that padding stays small and each group fits the token budget."""
    groups: list[list[TokenSequence]] = []
    for sequence in sorted(sequences, key=lambda s: len(s.ids)):
        if groups and (len(groups[-1]) + 1) * len(sequence.ids) <= budget:
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return groups


def shared_batches(sequences: list[TokenSequence], budget: int) -> list[tuple[int, list[TokenSequence]]]:
    """Micro-batches, each with the length of the beginning that its sequences share and that runs once.

    Sequences that begin like no other are grouped by length and share nothing.
    """
    groups: list[tuple[int, list[TokenSequence]]] = []
    for sequence in sorted(sequences, key=lambda s: s.ids):
        if groups:
            shared, members = groups[-1]
            common = _common([members[0], sequence])
            if len(members) > 1:
                common = min(common, shared)
            joined = [*members, sequence]
            fits = common + len(joined) * (max(len(s.ids) for s in joined) - common) <= budget
            if fits and common >= max(LEAST_SHARED, KEPT * shared):
                groups[-1] = (common, joined)
                continue
        groups.append((0, [sequence]))
    alone = [members[0] for _, members in groups if len(members) == 1]
    return [
        *((0, group) for group in micro_batches(alone, budget)),
        *((shared, members) for shared, members in groups if len(members) > 1),
    ]


def _common(sequences: list[TokenSequence]) -> int:
    """Tokens at the beginning that all share and at which nothing is supervised, short of the last one."""
    same = len(commonprefix([s.ids for s in sequences]))
    return min(same, *(min(s.targets, default=len(s.ids) - 1) for s in sequences))


def shared_beginning(group: list[TokenSequence]) -> int:
    """Tokens at the beginning that all of a group share and that are worth a forward of their own, or 0."""
    common = _common(group) if len(group) > 1 else 0
    return common if common >= LEAST_SHARED else 0


def supervised_losses(
    model: Any, group: list[TokenSequence], fill: int, shared: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy and correctness at every supervised position of a group, in order.

    Only supervised positions go through the unembedding.

    Args:
        model: with or without adapter.
        group: sequences of one forward.
        fill: token that pads the shorter ones.
        shared: tokens at the beginning that all have in common, none of them supervised; they run once.
    """
    ids = pad(group, fill).to(model.device)
    rows = torch.tensor([r for r, s in enumerate(group) for _ in s.targets], device=ids.device)
    cols = torch.tensor([t for s in group for t in s.targets], device=ids.device)
    core: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    with fresh_rotation(core):
        hidden = last_hidden(core, ids, shared)[rows, cols - shared]
    logits = logits_of(core, hidden)
    gold = ids[rows, cols + 1]
    losses = torch.nn.functional.cross_entropy(logits, gold, reduction="none")
    finite(losses.detach(), "the training losses", "train in float32, or lower the learning rate")
    return losses, logits.argmax(-1) == gold


def last_hidden(
    core: Any, ids: Int[torch.Tensor, "batch time"], shared: int
) -> Float[torch.Tensor, "batch rest width"]:
    """Last hidden states after the tokens that all rows begin with, which run once.

    Args:
        core: the model without adapter wrapper.
        ids: right-padded.
        shared: tokens that all rows begin with; 0 runs whole rows.
    """
    if not shared:
        placed = first_positions(core.model, ids)
        return core.model(input_ids=ids, use_cache=False, **placed).last_hidden_state
    beginning = ids[:1, :shared]
    cache = DynamicCache(config=core.config)
    core.model(
        input_ids=beginning, use_cache=True, past_key_values=cache, **first_positions(core.model, beginning)
    )
    cache.batch_repeat_interleave(len(ids))
    at = torch.arange(shared, ids.shape[1], device=ids.device)
    return core.model(
        input_ids=ids[:, shared:],
        use_cache=True,
        past_key_values=cache,
        **at_positions(core.model, at, len(ids)),
    ).last_hidden_state
