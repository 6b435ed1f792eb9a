"""The caches that are served in tests: one of each kind, by a tiny model, of lengths off any block size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.composing import precompile, prefix, seam_repair, splice
from pkv_interp.editing import EditableContext, State, field, user

KINDS = ("prefilled", "stale", "field_only", "recompute@32", "erratum", "spliced", "repaired")
RULE = "If the order status is pending, the right action is cancel; otherwise it is deny."


@dataclass(frozen=True, eq=False)
class Made:
    """A cache, as ``export`` takes it, and what the model says after it.

    Attributes:
        given: the first argument of ``export``.
        named: its other arguments.
        ids: of the cache.
        suffix: token ids of a question after it.
        logits: after these, Float[vocab].
    """

    given: State | FrozenCache
    named: dict[str, Any]
    ids: tuple[int, ...]
    suffix: tuple[int, ...]
    logits: Tensor

    @property
    def prompt(self) -> list[int]:
        return [*self.ids, *self.suffix]


def made(kind: str, model: PreTrainedModel, tokenizer: Any, padding: int = 0) -> Made:
    """A cache of one kind.

    Args:
        kind: one of ``KINDS``.
        model: in float32.
        tokenizer: of the model.
        padding: sentences that stand between the field and the end.
    """
    runner = Runner.of(model)
    suffix: tuple[int, ...] = tuple(tokenizer(" Action:", add_special_tokens=False)["input_ids"])
    if kind in ("spliced", "repaired"):
        before = prefix(runner, tokenizer, "You work at a support desk." + " The caller waits." * padding)
        ids = tuple(tokenizer("You work at a support desk." + " The caller waits." * padding)["input_ids"])
        chunk = precompile(runner, tokenizer, RULE)
        cache, whole = splice(runner, before, chunk), (*ids, *chunk.ids)
        if kind == "repaired":
            cache = seam_repair(runner, cache, (len(ids), len(whole)), whole, 4).cache
        named = {"runner": runner, "tokenizer": tokenizer, "ids": whole}
        return Made(cache, named, whole, suffix, runner.extend(cache, suffix).logits)
    context = context_of(model, tokenizer, padding)
    if kind == "stale":  # the new text over the columns of the old one
        cache, ids = context.prefill().cache, context.edit("status", "shipped", "full_reprefill").ids
        named = {"runner": runner, "tokenizer": tokenizer, "ids": ids}
        return Made(cache, named, ids, suffix, runner.extend(cache, suffix).logits)
    state = context.prefill() if kind == "prefilled" else context.edit("status", "shipped", kind)
    return Made(state, {}, state.ids, suffix, runner.extend(state.cache, suffix).logits)


def context_of(model: PreTrainedModel, tokenizer: Any, padding: int = 0) -> EditableContext:
    """A context with one field, ``status``."""
    words = ["The order status is ", field("status", "pending"), ". ", RULE, " The caller waits." * padding]
    return EditableContext(model, tokenizer, [user(*words)])
