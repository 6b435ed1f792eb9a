"""From messages to the tokens that are cached, and the tokens of text that comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.placement import Rendered
from pkv_interp.prompts.segments import Message, Prompt, Segment, mark, render, tokenise
from pkv_interp.prompts.special import following

#: Stands where the question will, so that a template which trims a message leaves the context's end alone.
_HERE = "?"


@dataclass(frozen=True)
class Head:
    """Rendered messages up to the end of the last one's text.

    Attributes:
        messages: what was rendered; two heads are equal when these are.
        prompt: tokens, kinds and spans of that text.
        tail: what the template puts after the last message, generation prompt included.
    """

    messages: tuple[Message, ...]
    prompt: Prompt = field(compare=False)
    tail: str = field(compare=False)


@dataclass(frozen=True)
class Renderer:
    """A tokenizer and how it renders.

    Attributes:
        tokenizer: a fast Hugging Face tokenizer.
        chat: use its chat template, where it has one.
        thinking: the template's thinking switch, None to leave it alone.
    """

    tokenizer: Any
    chat: bool = True
    thinking: bool | None = None

    def head(self, messages: Sequence[Message]) -> Head:
        """Render and tokenise.

        Raises:
            PkvError: the template refuses or changes the messages, or a field has no token of its own.
        """
        *before, last = messages
        opened = replace(last, segments=(*last.segments, Segment("decision", _HERE)))
        chat = self.chat and self.tokenizer.chat_template is not None
        rendered = render((*before, opened), self.tokenizer, chat, self.thinking)
        end = rendered.starts[-1] + len(last.text)
        if any(start > end for start in rendered.starts):
            raise PkvError("the chat template puts messages in another order", "set chat=False")
        text, tail = rendered.text[:end], rendered.text[end + len(_HERE) :]
        marks, names = mark(messages, Rendered(text, rendered.starts))
        return Head(tuple(messages), tokenise(text, marks, names, self.tokenizer, prefix=not chat), tail)

    def after(self, text: str) -> tuple[int, ...]:
        """Ids of a text that comes after another one, tokenised on its own.

        No BOS, and no blank that a tokenizer puts before a text.
        """
        return tuple(following(text, self.tokenizer))


def on_new_line(before: str, text: str) -> str:
    """The text, with a line break first unless ``before`` ends in a blank."""
    return text if not before or before[-1].isspace() or not text else f"\n{text}"
