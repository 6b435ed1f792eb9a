"""What an edit is to make the model say: statements with a subject token and a target token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Statement:
    """A text that ends where the target is to be said.

    Attributes:
        ids: token ids of the text.
        at: position of the token that the edit is keyed on (the subject's last token).
        target: the token to say next.
    """

    ids: tuple[int, ...]
    at: int
    target: int

    def __post_init__(self) -> None:
        if not 0 <= self.at < len(self.ids):
            raise PkvError(
                f"the subject token {self.at} is not in a statement of {len(self.ids)} tokens",
                "give the position of the subject's last token",
            )

    def after(self, prefix: Sequence[int], bos: int | None) -> "Statement":
        """The same statement with other tokens before it; a BOS token stays first."""
        head = self.ids[:1] if bos is not None and self.ids[0] == bos else ()
        ids = (*head, *prefix, *self.ids[len(head) :])
        return Statement(ids, self.at + len(prefix), self.target)


def statement(tokenizer: Any, before: str, subject: str, after: str, target: str) -> Statement:
    """``before + subject + after``, keyed on the subject's last token; the target's first token is said next.

    The target is tokenised after the text, so that its token is the one in context.

    Args:
        tokenizer: of the model.
        before: text before the subject.
        subject: at its last token the key is read.
        after: text after the subject.
        target: what is to be said next; its first token counts.

    Raises:
        PkvError: the subject is not followed by a token boundary, or the target changes the text's tokens.
    """
    text = before + subject + after
    encoded = tokenizer(text, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), list(encoded["offset_mapping"])
    if ids and ids[-1] == tokenizer.eos_token_id and offsets[-1][0] == offsets[-1][1]:
        ids, offsets = ids[:-1], offsets[:-1]
    end = len(before) + len(subject)
    ends = [i for i, (start, stop) in enumerate(offsets) if start < end <= stop]
    whole = list(tokenizer(f"{text} {target}")["input_ids"])
    if not ends or whole[: len(ids)] != ids or len(whole) == len(ids):
        raise PkvError(f"'{text}' does not tokenise as a statement about '{subject}'", "choose other words")
    return Statement(tuple(ids), ends[-1], whole[len(ids)])


@dataclass(frozen=True, eq=False)
class Batch:
    """Statements of one shape, their tokens before the subject's last one run already.

    Attributes:
        caches: of the tokens before ``at``, one per statement; None where the subject token is the first.
        suffixes: ids from the subject token on, Int[statements, tokens].
        targets: Int[statements].
    """

    runner: Runner
    caches: tuple[FrozenCache, ...] | None
    suffixes: Tensor
    targets: Tensor

    def log_probabilities(self) -> Float[Tensor, "statements vocab"]:
        """Log probabilities of the token after each statement in float32, with gradients through hooks."""
        model = self.runner.model
        grown = DynamicCache()
        start = self.caches[0].length if self.caches else 0
        length = start + self.suffixes.shape[1]
        for cache in self.caches or ():
            self.runner.positions.check_cache(cache, length)
        if self.caches is not None:
            for index in range(self.caches[0].n_layers):
                keys = torch.cat([cache.keys[index] for cache in self.caches])
                values = torch.cat([cache.values[index] for cache in self.caches])
                grown.update(keys, values, index)
        at = torch.arange(start, length, device=model.device)
        with fresh_rotation(model):
            logits = self.runner.forward(self.suffixes, at, grown)
        return logits[:, -1].float().log_softmax(-1)


def batches(runner: Runner, statements: Sequence[Statement]) -> list[Batch]:
    """Group statements of one shape, so that a forward serves several and none is padded.

    The tokens before the subject's last one do not depend on an edit at that token (causality), so they run
    once.
    """
    shapes: dict[tuple[int, int], list[Statement]] = {}
    for one in statements:
        shapes.setdefault((one.at, len(one.ids)), []).append(one)
    device = runner.model.device
    return [
        Batch(
            runner,
            tuple(runner.prefill(one.ids[:at]).cache for one in group) if at else None,
            torch.tensor([one.ids[at:] for one in group], device=device),
            torch.tensor([one.target for one in group], device=device),
        )
        for (at, _), group in shapes.items()
    ]
