"""Rendered messages, and where each message's text was put: by construction, never by searching for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from jinja2 import TemplateError

from pkv_interp.errors import PkvError

#: A message as a template sees it: role and text.
Turn = tuple[str, str]


@dataclass(frozen=True)
class Rendered:
    """Messages as the model sees them.

    Attributes:
        text: of all of them, with what the template adds.
        starts: per message the character at which its text starts.
    """

    text: str
    starts: tuple[int, ...]


def render(
    turns: Sequence[Turn], tokenizer: Any, chat: bool, thinking: bool | None, *, asked: bool = True
) -> Rendered:
    """Text of the messages, through the chat template when ``chat``, and the place of each.

    The messages are rendered twice: as they are, and with a mark in the middle of each text, that occurs
    nowhere else. Where both renderings agree but for the marks, the marks tell the places, whatever words
    the template itself or another message has.

    Args:
        turns: role and text of each message.
        tokenizer: has the template.
        chat: use it; otherwise the texts are joined by blank lines.
        thinking: the template's thinking switch, None to leave it alone.
        asked: end where the model is to answer; otherwise after the last message.

    Raises:
        PkvError: the template refuses the messages, leaves one out, repeats it or changes its text.
    """
    if not chat:
        starts, at = [], 0
        for _, text in turns:
            starts.append(at)
            at += len(text) + 2
        return Rendered(whole_text(turns, tokenizer, chat, thinking), tuple(starts))
    whole = whole_text(turns, tokenizer, chat, thinking, asked=asked)
    marks = _marks(turns, whole)
    marked = [
        (role, text[: len(text) // 2] + mark + text[len(text) // 2 :] if text else text)
        for (role, text), mark in zip(turns, marks, strict=True)
    ]
    try:
        traced = whole_text(marked, tokenizer, chat, thinking, asked=asked)
    except PkvError:
        traced = ""
    found = sorted((traced.find(mark), i) for i, mark in enumerate(marks) if turns[i][1])
    starts, removed = [0] * len(turns), 0
    for at, i in found:
        role, text = turns[i]
        if at < 0 or traced.count(marks[i]) != 1:
            what = "drops" if at < 0 else "repeats"
            raise PkvError(f"the chat template {what} the {role} message", "set chat=false for this model")
        starts[i] = at - removed - len(text) // 2
        removed += len(marks[i])
        traced_text = whole[max(starts[i], 0) : starts[i] + len(text)]
        if starts[i] < 0 or traced_text != text:
            raise _changed(role, text)
    for mark in marks:
        traced = traced.replace(mark, "")
    if traced != whole:
        raise _changed(*max(turns, key=lambda turn: turn[1] != turn[1].strip()))
    return Rendered(whole, tuple(starts))


def whole_text(
    turns: Sequence[Turn], tokenizer: Any, chat: bool, thinking: bool | None, *, asked: bool = True
) -> str:
    """Text of the messages, whatever the template makes of them.

    Args:
        turns: role and text of each message.
        tokenizer: has the template.
        chat: use it; otherwise the texts are joined by blank lines.
        thinking: the template's thinking switch, None to leave it alone.
        asked: end where the model is to answer; otherwise after the last message.

    Raises:
        PkvError: the template refuses the messages.
    """
    if not chat:
        return "\n\n".join(text for _, text in turns) + "\n"
    messages = [{"role": role, "content": text} for role, text in turns]
    options = {} if thinking is None else {"enable_thinking": thinking}
    try:
        return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asked, **options)
    except (TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        raise PkvError(
            f"the chat template refuses these messages ({error})", "use other roles, or chat=False"
        ) from error


def _changed(role: str, text: str) -> PkvError:
    blanks = " (it has blanks at its ends)" if text != text.strip() else ""
    return PkvError(
        f"the chat template changes the text of the {role} message{blanks}", "set chat=false for this model"
    )


def _marks(turns: Sequence[Turn], whole: str) -> list[str]:
    """One string per message that occurs in none of them, nor in what the template adds."""
    texts = [whole, *(text for _, text in turns)]
    stem = next(s for s in (f"@@{i}." for i in count()) if not any(s in text for text in texts))
    return [f"{stem}{i}@@" for i in range(len(turns))]
