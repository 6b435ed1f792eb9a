"""One model with a prompt to edit and texts to splice, and what caches of these must equal."""

from __future__ import annotations

from functools import cached_property

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.editing import EditableContext, State, field, system, user
from pkv_interp.reference.plain import one_by_one, reencode

FIELD, OLD, NEW, LONG = "order status", "pending", "shipped", "shipped late on Tuesday"
#: Tokens before a moved chunk, in it and after it; windows and chunks of the table's models are shorter.
BEFORE, CHUNK, AFTER = 32, 20, 6


class Bench:
    """One model with a prompt to edit and texts to splice; what they must equal is computed once."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.runner = Runner.of(model)
        told = (
            system("You handle orders for a web shop."),
            user(
                "Session\n" + FIELD + ": ",
                field(FIELD, OLD),
                "\n\nPolicy\nReports are stored for seven years in the archive on the second floor.\n\n"
                "If the order status is shipped, the right action is cancel; otherwise it is deny.\n\n"
                "The customer asks us to cancel order A1000.\n",
            ),
        )
        self.context = EditableContext(
            model, tokenizer, told, "Answer with one word, cancel or deny.", chat=False
        )

    @cached_property
    def base(self) -> State:
        """The prompt with the old value."""
        return self.context.prefill()

    @cached_property
    def new_ids(self) -> tuple[int, ...]:
        """The prompt with the new value in its place."""
        return self.base.edit(FIELD, NEW, "full_reprefill").ids

    @cached_property
    def new(self) -> FrozenCache:
        """Its columns, by one plain forward."""
        cache = reencode(self.runner, self.new_ids).cache
        assert cache is not None
        return cache

    @cached_property
    def texts(self) -> tuple[list[int], list[int], list[int]]:
        """Tokens before a chunk, of the chunk and after it."""
        ids = list(self.base.ids)
        ids = [*ids, *ids[::-1]][: BEFORE + CHUNK + AFTER]
        return ids[:BEFORE], ids[BEFORE : BEFORE + CHUNK], ids[BEFORE + CHUNK :]

    @cached_property
    def spliced(self) -> FrozenCache:
        """The chunk moved behind the text before it."""
        before, chunk, _ = self.texts
        made = precompile(self.runner, self.tokenizer, chunk)
        return splice(self.runner, self.runner.prefill(before).cache, made)

    def whole(self, made: State) -> float:
        """How far a state is from one forward over its text: columns, and logits after its suffix."""
        suffix = self.context.renderer.after(made.suffix())
        logits = reencode(self.runner, [*made.ids, *suffix]).logits[-1]
        miss = float((made.logits() - logits).abs().max())
        plain = reencode(self.runner, made.ids).cache
        return miss if plain is None else max(miss, apart(made.cache, plain))

    def part(self, made: State) -> float:
        """How far an edit of some tokens is from the same tokens run one at a time.

        The field's own columns must be those of a re-encode as well.
        """
        base, length = self.base, self.base.cache.length
        changed = changed_columns(base.cache, made.cache.slice(0, length))
        own = range(*base.spans[FIELD])
        if not set(own) <= set(changed):
            return float("inf")
        positions = [*changed, *range(length, made.cache.length)]
        twin = one_by_one(self.runner, base.cache, positions, made.ids)
        field_end = self.base.spans[FIELD][1]
        return max(
            apart(made.cache, twin), apart(made.cache.slice(0, field_end), self.new.slice(0, field_end))
        )


def apart(one: FrozenCache, other: FrozenCache) -> float:
    """The largest difference of any key or value."""
    pairs = zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True)
    return max(float((a - b).abs().max()) for a, b in pairs)


def changed_columns(one: FrozenCache, other: FrozenCache) -> list[int]:
    """Positions at which some key or value is not the same number."""
    same = torch.ones(one.length, dtype=torch.bool, device=one.device)
    for a, b in zip((*one.keys, *one.values), (*other.keys, *other.values), strict=True):
        same &= (a == b).all(-1).all(1)[0]
    return torch.nonzero(~same).flatten().tolist()
