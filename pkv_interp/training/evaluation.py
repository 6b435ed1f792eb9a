"""What the gate adapter can do: answers to prompts that ask for a decision, and loss on ordinary chat."""

from collections.abc import Sequence
from typing import Any

import torch

from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.finite import finite_logits
from pkv_interp.models.unembedding import logits_of
from pkv_interp.training.losses import last_hidden, micro_batches, shared_batches, supervised_losses
from pkv_interp.training.probes import Probe
from pkv_interp.training.tokens import TokenSequence, pad


@torch.no_grad()
def answer(model: Any, tokenizer: Any, found: Sequence[Probe], budget: int = 4096) -> list[tuple[float, int]]:
    """Margin towards the gold action and the full-vocabulary argmax, per probe and in order.

    Args:
        model: the trained model.
        tokenizer: of the model.
        found: the probes.
        budget: tokens per forward.
    """
    fill = int(tokenizer.eos_token_id or 0)
    sequences = {id(p): TokenSequence(p.prompt.ids, (p.prompt.decision,), (), "probe") for p in found}
    owner = {id(sequences[id(p)]): p for p in found}
    out: dict[int, tuple[float, int]] = {}
    for shared, group in shared_batches(list(sequences.values()), budget):
        ids = pad(group, fill).to(model.device)
        with fresh_rotation(model):
            hidden = last_hidden(model, ids, shared)
        last = torch.tensor([len(s.ids) - 1 - shared for s in group], device=hidden.device)
        logits = logits_of(model, hidden[torch.arange(len(group), device=hidden.device), last])
        finite_logits(logits)
        for sequence, row in zip(group, logits, strict=True):
            probe = owner[id(sequence)]
            margin = float(row[probe.action_ids[0]] - row[probe.action_ids[1]])
            out[id(probe)] = (margin, int(row.argmax()))
    return [out[id(p)] for p in found]


@torch.no_grad()
def chat_loss(model: Any, tokenizer: Any, chats: Sequence[TokenSequence], budget: int = 4096) -> float:
    """Mean cross-entropy of reply tokens, in nats per token.

    Args:
        model: the trained model.
        tokenizer: of the model.
        chats: encoded chats.
        budget: tokens per forward.
    """
    fill = int(tokenizer.eos_token_id or 0)
    total, count = 0.0, 0
    for group in micro_batches(list(chats), budget):
        losses, _ = supervised_losses(model, group, fill)
        total, count = total + float(losses.sum()), count + losses.numel()
    return total / count
