"""From messages to the tokens that are cached, and the tokens of text that comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.notation import PROSE, Notation
from pkv_interp.prompts.placement import Rendered, whole_text
from pkv_interp.prompts.segments import Message, Prompt, Segment, mark, render, tokenise
from pkv_interp.prompts.special import following

#: Stands where a question may, so that a template which trims a message leaves the context's end alone.
_HERE = "?"


@dataclass(frozen=True)
class Head:
    """Rendered messages up to the end of the last one's text.

    Attributes:
        messages: what was rendered; two heads are equal when these are.
        prompt: tokens, kinds and spans of that text.
    """

    messages: tuple[Message, ...]
    prompt: Prompt = field(compare=False)


@dataclass(frozen=True)
class Renderer:
    """A tokenizer and how it renders.

    Attributes:
        tokenizer: a fast Hugging Face tokenizer.
        chat: use its chat template, where it has one.
        thinking: the template's thinking switch, None to leave it alone.
        question: what most likely ends the last message; a template may look at it.
        notation: how errata and answers are written.
    """

    tokenizer: Any
    chat: bool = True
    thinking: bool | None = None
    question: str = ""
    notation: Notation = PROSE

    def head(self, messages: Sequence[Message]) -> Head:
        """Render and tokenise.

        Raises:
            PkvError: the template refuses or changes the messages, or a field has no token of its own.
        """
        *before, last = messages
        asked = on_new_line(last.text, self.question)
        try:
            # Without words at the end, the template shows what it does to the end of the text itself.
            rendered = self._rendered(before, last, asked if last.text or asked else _HERE)
        except PkvError:  # it may only trim this end, and other words may come after it; ``tail`` judges
            rendered = self._rendered(before, last, _HERE)
        end = rendered.starts[-1] + len(last.text)
        if any(start > end for start in rendered.starts):
            raise PkvError("the chat template puts messages in another order", "set chat=False")
        text = rendered.text[:end]
        marks, names = mark(messages, Rendered(text, rendered.starts))
        return Head(tuple(messages), tokenise(text, marks, names, self.tokenizer, prefix=not self._chat))

    def tail(self, head: Head, added: str) -> str:
        """What stands after a head's text and words that are added to its last message.

        The messages are rendered whole, so that text, words and tail are what the template makes of them.

        Args:
            head: rendered messages.
            added: words at the end of the last message.

        Raises:
            PkvError: the template refuses the messages or, seeing their end, writes them otherwise.
        """
        *before, last = head.messages
        turns = [*((m.role, m.text) for m in before), (last.role, last.text + added)]
        whole, start = whole_text(turns, self.tokenizer, self._chat, self.thinking), head.prompt.text + added
        if not whole.startswith(start):
            ending = " (it ends in blanks)" if start[-1:].isspace() else ""
            raise PkvError(
                f"the chat template changes text when the {last.role} message ends here{ending}",
                "give a question that ends in a word, other text, or chat=False",
            )
        return whole[len(start) :]

    @property
    def _chat(self) -> bool:
        return bool(self.chat and self.tokenizer.chat_template is not None)

    def _rendered(self, before: Sequence[Message], last: Message, added: str) -> Rendered:
        opened = replace(last, segments=(*last.segments, Segment("decision", added)))
        return render((*before, opened), self.tokenizer, self._chat, self.thinking)

    def after(self, text: str) -> tuple[int, ...]:
        """Ids of a text that comes after another one, tokenised on its own.

        No BOS, and no blank that a tokenizer puts before a text.
        """
        return tuple(following(text, self.tokenizer))


def on_new_line(before: str, text: str) -> str:
    """The text, with a line break first unless ``before`` ends in a blank."""
    return text if not before or before[-1].isspace() or not text else f"\n{text}"
