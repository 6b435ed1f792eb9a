"""Conversations that memories are attached to: text, memories and what was said since, over one cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.reposition import reposition
from pkv_interp.composing import join, link_repair, splice, token_ids
from pkv_interp.composing.chunk import first_ids
from pkv_interp.editing import Cost, Decision, Generation
from pkv_interp.editing.cost import Stopwatch
from pkv_interp.editing.decision import listed, option_ids, read_decision
from pkv_interp.editing.generation import generate
from pkv_interp.errors import PkvError
from pkv_interp.ids import TokenIds
from pkv_interp.indices import whole
from pkv_interp.prompts.rendering import Renderer
from pkv_interp.prompts.special import missing_prefix

if TYPE_CHECKING:
    from pkv_interp.memory.compiled import CompiledMemory

#: What happens to columns after a memory that has changed: run anew, or kept with what they have read.
Later = Literal["run", "keep"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Tokens that stand together in a conversation.

    Attributes:
        ids: the tokens.
        memory: whose they are; None for text.
        seam: first tokens of each of its blocks that were run in their place.
    """

    ids: tuple[int, ...]
    memory: CompiledMemory | None = None
    seam: int = 0


@dataclass(frozen=True, eq=False, repr=False)
class Conversation:
    """One version of a conversation; whatever is done gives another one, and this one stays as it is.

    Attributes:
        runner: the model.
        tokenizer: of the model.
        pieces: text and memories, in order.
        cache: one column per token; None where there is none yet.
        cost: of the step that made this version.
        total: of all steps.
    """

    runner: Runner
    tokenizer: Any
    pieces: tuple[Piece, ...] = ()
    cache: FrozenCache | None = None
    cost: Cost = Cost()
    total: Cost = Cost()

    def __repr__(self) -> str:
        return f"Conversation({self.length} tokens, {len(self.memories)} memories)"

    @classmethod
    def begin(cls, model: PreTrainedModel, tokenizer: Any, words: str | TokenIds = ()) -> Conversation:
        """What a conversation begins with, prefilled; () for one that begins with a memory (after a BOS).

        Args:
            model: a Hugging Face causal language model in eval mode.
            tokenizer: of the model.
            words: text, before which the tokenizer's BOS is put where it has one, or ids as they are.

        Raises:
            PkvError: no text, an id outside the vocabulary, or more than the model serves.
        """
        empty = cls(Runner.of(model), tokenizer)
        return empty if isinstance(words, tuple) and not words else empty.append(words)

    @property
    def ids(self) -> tuple[int, ...]:
        """All tokens, one per column."""
        return tuple(token for piece in self.pieces for token in piece.ids)

    @property
    def length(self) -> int:
        """Number of tokens."""
        return sum(len(piece.ids) for piece in self.pieces)

    @property
    def memories(self) -> tuple[CompiledMemory, ...]:
        """The versions that are attached, in order."""
        return tuple(piece.memory for piece in self.pieces if piece.memory is not None)

    def append(self, words: str | TokenIds) -> Conversation:
        """With more text after it, which is run.

        Args:
            words: text, tokenised on its own, or ids.

        Raises:
            PkvError: no text, an id outside the vocabulary, or more than the model serves.
        """
        ids = token_ids(self.tokenizer, words) if self.length else first_ids(self.tokenizer, words)
        watch = Stopwatch(self.runner.model.device)
        piece = Piece(ids)
        cache, tokens = self._after(self.cache, (), piece)
        return self._step((*self.pieces, piece), cache, tokens, watch)

    def attach(self, memory: CompiledMemory, *, seam: int = 0) -> Conversation:
        """With a memory after it; see ``CompiledMemory.attach``."""
        if any(one.lineage is memory.lineage for one in self.memories):
            raise PkvError("this memory is attached already", "use update for another version of it")
        opening = tuple(missing_prefix([], self.tokenizer)) if not self.length else ()
        begun = self.append(opening) if opening else self  # a model expects its BOS before a memory as well
        watch = Stopwatch(self.runner.model.device)
        piece = Piece(memory.ids, memory, whole(seam, "seam", 0))
        cache, tokens = self._after(begun.cache, begun.ids, piece)
        made = begun._step((*begun.pieces, piece), cache, tokens, watch)
        return replace(made, cost=begun.cost + made.cost) if opening else made

    def update(self, memory: CompiledMemory, later: Later = "run") -> Conversation:
        """With another version of a memory that is attached, in its place.

        Args:
            memory: the new version.
            later: what stands after the memory has read the old one. "run" runs it anew; "keep" keeps its
                columns, which are stale then, and moves them where the memory has another length.

        Raises:
            PkvError: the memory is not attached, or it or what is kept cannot be moved.
        """
        at = self._place(memory)
        return self._replaced(at, replace(self.pieces[at], ids=memory.ids, memory=memory), later)

    def detach(self, memory: CompiledMemory) -> Conversation:
        """Without a memory, in whatever version it is attached: what stands after it is run anew.

        Raises:
            PkvError: the memory is not attached.
        """
        return self._replaced(self._place(memory), None, "run")

    def prefilled(self) -> Conversation:
        """The same tokens, all of them run as one text: what a splice is compared with."""
        watch = Stopwatch(self.runner.model.device)
        cache = self.runner.prefill(self.ids).cache
        return self._step(self.pieces, cache, self.length, watch)

    def logits(self, words: str | TokenIds) -> Float[Tensor, " vocab"]:
        """What the model says after the conversation and some more text, in float32."""
        return self.runner.extend(self._cached(), token_ids(self.tokenizer, words)).logits

    def decide(self, options: Sequence[str], words: str) -> Decision:
        """The model's choice between options that are one token each.

        Args:
            options: at least two.
            words: stand between the conversation and the decision.

        Raises:
            PkvError: fewer than two options, one that is not a single token there, or two that share theirs.
        """
        renderer = Renderer(self.tokenizer, chat=False)
        options = listed(options)
        ids = option_ids(renderer, words, options)
        return read_decision(renderer, self.logits(words), options, ids)

    def generate(self, words: str | TokenIds, most: int, stop: str | Sequence[str] = ()) -> Generation:
        """Text that the model writes after the conversation and some more text, greedily.

        Args:
            words: run first.
            most: most new tokens.
            stop: one text or several at which to stop.
        """
        ids = token_ids(self.tokenizer, words)
        return generate(self.runner, self.tokenizer, self._cached(), ids, most, stop=stop)

    def _cached(self) -> FrozenCache:
        if self.cache is None:
            raise PkvError("the conversation is empty", "append text or attach a memory first")
        return self.cache

    def _place(self, memory: CompiledMemory) -> int:
        for at, piece in enumerate(self.pieces):
            if piece.memory is not None and piece.memory.lineage is memory.lineage:
                return at
        raise PkvError("this memory is not attached here", "attach it first")

    def _replaced(self, at: int, piece: Piece | None, later: Later) -> Conversation:
        """With another piece, or none, in place of the one at ``at``."""
        if later not in ("run", "keep"):
            raise PkvError(f"later='{later}' is unknown", "use run or keep")
        watch = Stopwatch(self.runner.model.device)
        old, before, after = self.pieces[at], self.pieces[:at], self.pieces[at + 1 :]
        start = sum(len(one.ids) for one in before)
        stop = start + len(old.ids)
        cache: FrozenCache | None = self._cached().slice(0, start) if start else None
        made, tokens = list(before), 0
        wanted = [piece] if piece is not None else []
        for one in [*wanted, *(after if later == "run" else ())]:
            ids = tuple(token for p in made for token in p.ids)
            cache, ran = self._after(cache, ids, one)
            made.append(one)
            tokens += ran
        if later == "keep" and stop < self.length and cache is not None:
            kept = self._cached().slice(stop, self.length)
            length = cache.length + kept.length
            moved = reposition(self.runner.model, kept, cache.length - stop, start=stop, target_length=length)
            cache = join([cache, moved])
            made += after
        return self._step(tuple(made), cache, tokens, watch)

    def _after(
        self, cache: FrozenCache | None, ids: tuple[int, ...], piece: Piece
    ) -> tuple[FrozenCache, int]:
        """The columns of ``ids`` with a piece after them, and the tokens that were run for it."""
        if piece.memory is None:
            if cache is None:
                return self.runner.prefill(piece.ids).cache, len(piece.ids)
            return self.runner.extend(cache, piece.ids).cache, len(piece.ids)
        chunks = piece.memory.chunks
        joined = splice(self.runner, chunks[0].cache.slice(0, 0) if cache is None else cache, *chunks)
        if not piece.seam:
            return joined, 0
        at = 0 if cache is None else cache.length
        spans = []
        for chunk in chunks:
            spans.append((at, at + chunk.length))
            at += chunk.length
        repaired = link_repair(self.runner, joined, spans, (*ids, *piece.ids), piece.seam).cache
        return repaired, sum(min(piece.seam, chunk.length) for chunk in chunks)

    def _step(
        self, pieces: tuple[Piece, ...], cache: FrozenCache | None, tokens: int, watch: Stopwatch
    ) -> Conversation:
        length = sum(len(piece.ids) for piece in pieces)
        cost = Cost(tokens, tokens / max(length, 1), watch.read())
        return replace(self, pieces=pieces, cache=cache, cost=cost, total=self.total + cost)
