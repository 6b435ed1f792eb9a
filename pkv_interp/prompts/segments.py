"""Prompts from segments: every span is known in characters by construction, then in tokens by offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.errors import PkvError

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
    """A piece of prompt text of one kind; ``name`` makes it a named span (several segments may share one)."""

    kind: str
    text: str
    name: str | None = None


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


def render(messages: Sequence[Message], tokenizer: Any, chat: bool, thinking: bool | None) -> str:
    """Text of the messages, through the chat template when ``chat``, as the model would see it."""
    if not chat:
        return "\n\n".join(m.text for m in messages) + "\n"
    turns = [{"role": m.role, "content": m.text} for m in messages]
    options: dict[str, Any] = {} if thinking is None else {"enable_thinking": thinking}
    return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True, **options)


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
    text = rendered + cue.text
    marks, names = mark(messages, text)
    marks[len(rendered) :] = [cue.kind] * len(cue.text)
    names.append((cue.name or "decision", len(rendered), len(text)))
    return tokenise(text, marks, names, tokenizer)


def mark(messages: Sequence[Message], text: str) -> tuple[list[str], list[tuple[str, int, int]]]:
    """The kind of every character of a rendered text, and the character span of every named segment.

    Raises:
        PkvError: the text does not hold the messages as they were written.
    """
    marks = ["template"] * len(text)
    names: list[tuple[str, int, int]] = []
    cursor = 0
    for message in messages:
        start = text.find(message.text, cursor)
        if start < 0:
            raise PkvError(
                f"the chat template changes the text of the {message.role} message",
                "set chat=false for this model",
            )
        for segment in message.segments:
            end = start + len(segment.text)
            marks[start:end] = [segment.kind] * (end - start)
            if segment.name:
                names.append((segment.name, start, end))
            start = end
        cursor = start
    return marks, names


def tokenise(
    text: str, marks: Sequence[str], names: Sequence[tuple[str, int, int]], tokenizer: Any
) -> Prompt:
    """Tokens of a rendered text, each of one kind, and the token span of every name.

    Args:
        text: as the model would see it; BOS is added where the tokenizer adds one and the text has none.
        marks: one of `KINDS` per character.
        names: name and half-open character span; spans of one name are joined.
        tokenizer: a fast Hugging Face tokenizer.

    Raises:
        PkvError: a span has no token of its own, or BOS would stand twice.
    """
    bos = tokenizer.bos_token
    has_bos = bool(bos) and text.startswith(bos)
    # A template that already writes BOS must not get a second one from the tokenizer.
    encoded = tokenizer(text, add_special_tokens=not has_bos, return_offsets_mapping=True)
    ids, offsets = list(encoded["input_ids"]), list(encoded["offset_mapping"])
    if (
        not has_bos
        and ids
        and tokenizer.eos_token_id is not None
        and len(ids) > 1
        and ids[-1] == tokenizer.eos_token_id
        and offsets[-1][0] == offsets[-1][1]
    ):
        ids, offsets = ids[:-1], offsets[:-1]
    if tokenizer.bos_token_id is not None and ids[:2] == [tokenizer.bos_token_id] * 2:
        raise PkvError("the prompt starts with a doubled BOS token", "report the tokenizer, this is a bug")
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
