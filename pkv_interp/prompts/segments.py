"""Prompts from segments: every span is known in characters by construction, then in tokens by offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts import placement
from pkv_interp.prompts.placement import Rendered
from pkv_interp.prompts.special import encode

#: A named stretch of characters: its name, where it starts, and where it ends.
Name = tuple[str, int, int]
#: The kind of text of which nothing else is known.
PLAIN = "plain"
#: Kinds a segment can have. ``template`` is whatever the chat template adds around our text.
KINDS = (
    "system",
    "session",
    "field",
    "rule",
    "trigger",
    "action",
    "filler",
    "tools",
    "conversation",
    "update",
    "decision",
    "template",
    PLAIN,
)


@dataclass(frozen=True)
class Segment:
    """A piece of prompt text of one kind; ``name`` makes it a named span (several segments may share one).

    ``isolated`` asks that its tokens be read by the prompt's last block alone (`AttentionLayout`).
    """

    kind: str
    text: str
    name: str | None = None
    isolated: bool = False


@dataclass(frozen=True)
class Message:
    """One chat message made of segments."""

    role: str
    segments: tuple[Segment, ...]

    @property
    def text(self) -> str:
        """The segments' texts, joined."""
        return "".join(s.text for s in self.segments)


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt whose spans are known.

    Attributes:
        ids: token ids; the last one is the decision token.
        text: the rendered text, template included.
        tokens: the piece of ``text`` that each token covers.
        kinds: one of `KINDS` per token.
        spans: half-open token span per segment name.
    """

    ids: tuple[int, ...]
    text: str
    tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    spans: dict[str, tuple[int, int]]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def decision(self) -> int:
        """Index of the decision token (the last one)."""
        return len(self.ids) - 1


def build(
    messages: Sequence[Message],
    cue: Segment,
    tokenizer: Any,
    *,
    chat: bool = True,
    thinking: bool | None = None,
) -> Prompt:
    """Render and tokenise messages followed by the cue that the decision is read after.

    Args:
        messages: system and user turns.
        cue: text that opens the answer (``"Action:"``); its last token is the decision token.
        tokenizer: a fast Hugging Face tokenizer.
        chat: render through the chat template, if the tokenizer has one.
        thinking: value of the template's thinking switch, None to leave it alone.

    Raises:
        PkvError: a template changes the text of a segment, or a segment vanishes in tokenisation.
    """
    chat = chat and tokenizer.chat_template is not None
    rendered = render(messages, tokenizer, chat, thinking)
    text = rendered.text + cue.text
    marks, names = mark(messages, rendered)
    marks += [cue.kind] * len(cue.text)
    names.append((cue.name or "decision", len(rendered.text), len(text)))
    return tokenise(text, marks, names, tokenizer, prefix=not chat)


def render(messages: Sequence[Message], tokenizer: Any, chat: bool, thinking: bool | None) -> Rendered:
    """Text of the messages, through the chat template when ``chat``, and the place of each.

    Raises:
        PkvError: the template refuses the messages, leaves one out, repeats it or changes its text.
    """
    return placement.render([(m.role, m.text) for m in messages], tokenizer, chat, thinking)


def mark(messages: Sequence[Message], rendered: Rendered) -> tuple[list[str], list[Name]]:
    """The kind of every character of a rendered text, and the character span of every named segment."""
    marks = ["template"] * len(rendered.text)
    names: list[Name] = []
    for message, start in zip(messages, rendered.starts, strict=True):
        for segment in message.segments:
            end = start + len(segment.text)
            marks[start:end] = [segment.kind] * (end - start)
            if segment.name:
                names.append((segment.name, start, end))
            start = end
    return marks, names


def tokenise(
    text: str, marks: Sequence[str], names: Sequence[Name], tokenizer: Any, *, prefix: bool
) -> Prompt:
    """Tokens of a text, each of one kind, and the token span of every name.

    Args:
        text: as the model would see it.
        marks: one of `KINDS` per character.
        names: name and half-open character span; spans of one name are joined.
        tokenizer: a fast Hugging Face tokenizer.
        prefix: the tokenizer's own prefix (BOS) belongs before the text; a chat template writes it itself.

    Raises:
        PkvError: a span has no token of its own.
    """
    ids, offsets = encode(text, tokenizer, prefix=prefix)
    kinds, anchors = [], []
    for start, end in offsets:
        inside = start
        while inside < end - 1 and text[inside].isspace():
            inside += 1  # " pending" belongs to the segment of its word, not of the blank before it
        anchors.append(inside if end > start else -1)
        kinds.append(marks[inside] if end > start else "template")
    spans: dict[str, tuple[int, int]] = {}
    for name, start, end in names:
        covered = [i for i, at in enumerate(anchors) if start <= at < end]
        if not covered:
            raise PkvError(f"the span '{name}' has no token of its own", "choose another wording or value")
        first, last = covered[0], covered[-1] + 1
        if name in spans:
            first, last = min(first, spans[name][0]), max(last, spans[name][1])
        spans[name] = (first, last)
    return Prompt(tuple(ids), text, tuple(text[a:b] for a, b in offsets), tuple(kinds), spans)
