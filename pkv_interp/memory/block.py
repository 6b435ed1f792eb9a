"""One block of a memory: an editable text whose columns are a chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedModel

from pkv_interp.composing import Chunk
from pkv_interp.editing import EditableContext, State
from pkv_interp.editing.text import user
from pkv_interp.errors import PkvError, short
from pkv_interp.memory.text import Block
from pkv_interp.names import Sink
from pkv_interp.prompts.rendering import Head
from pkv_interp.prompts.special import checked_text


@dataclass(frozen=True, eq=False)
class CompiledBlock:
    """One version of a block.

    Attributes:
        state: the block with what stood before it, as the editing API has it.
        context: the text that stood before it, beside what the tokenizer puts before every text.
        start: tokens of both.
        identity: of the model that made it.
    """

    state: State
    context: str
    start: int
    identity: str

    @property
    def length(self) -> int:
        """Tokens of the block."""
        return self.state.cache.length - self.start

    @property
    def ids(self) -> tuple[int, ...]:
        """Tokens of the block."""
        return self.state.ids[self.start :]

    @property
    def chunk(self) -> Chunk:
        """The block's columns, as composing splices them."""
        state = self.state
        before = state.ids[: self.start]
        bos: Any = state.context.renderer.tokenizer.bos_token_id
        sink: Sink = "none" if not before else "bos" if before == (bos,) else "prefix"
        columns = state.cache.slice(self.start, state.cache.length)
        return Chunk(self.ids, columns, self.start, before, sink, self.identity)

    @property
    def segments(self) -> Block:
        """The block's text with the value of each setting in its place; errata are left out."""
        (message,) = self.state.layout.head.messages
        own = message.segments[1:] if self.context else message.segments
        return tuple(
            replace(one, text=self.state.fields[str(one.name)]) if one.kind == "field" else one for one in own
        )

    def edited(self, setting: str, value: str, method: str, **options: Any) -> CompiledBlock:
        """``State.edit`` of the block.

        Args:
            setting: one of the block's.
            value: its new value.
            method: a name of ``METHODS``.
            **options: further settings of the method.
        """
        return replace(self, state=self.state.edit(setting, value, method, **options))

    def asked(self, question: str, cue: str) -> CompiledBlock:
        """The same columns with a question and a cue after them, for methods that look at a decision.

        Args:
            question: stands on a line of its own after the block.
            cue: opens the answer.
        """
        old = self.state.context
        messages = self.state.layout.head.messages
        context = EditableContext(
            old.runner.model, old.renderer.tokenizer, messages, question, cue, chat=False
        )
        return replace(self, state=replace(self.state, context=context))


@dataclass(frozen=True, eq=False)
class Draft:
    """A block as an editable text of which nothing is run yet.

    Attributes:
        context: of the editing API.
        head: its text and tokens, with what stands before the block.
        start: tokens before the block.
    """

    context: EditableContext
    head: Head
    start: int

    @property
    def length(self) -> int:
        """Tokens of the block."""
        return len(self.head.prompt.ids) - self.start


def written(model: PreTrainedModel, tokenizer: Any, block: Block, before: str) -> Draft:
    """A block as an editable text; nothing is run.

    No chat template is used: a memory stands in the middle of a message.

    Args:
        model: that is to run it.
        tokenizer: of the model.
        block: its text.
        before: text before it.

    Raises:
        PkvError: a token lies on both sides of the border, or the text cannot be tokenised.
    """
    checked_text(before, "the context")
    message = user(*((before, *block) if before else block))
    context = EditableContext(model, tokenizer, [message], question="", cue="", chat=False)
    head = context.renderer.head([message])
    if not before:
        # What a tokenizer puts before a text covers none of it.
        return Draft(context, head, next(i for i, token in enumerate(head.prompt.tokens) if token))
    alone = context.renderer.head([user(before)]).prompt.ids
    if head.prompt.ids[: len(alone)] != alone:
        raise PkvError(
            f"the context's end {short(before[-20:])} and the memory's beginning share a token",
            "end the context in a line break",
        )
    return Draft(context, head, len(alone))
