"""Words with which users write a prompt that has named fields."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pkv_interp.errors import PkvError, short
from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.prompts.special import checked_text


def text(words: str) -> Segment:
    """Plain text."""
    return Segment("conversation", words)


def field(name: str, value: str, *, isolated: bool = False) -> Segment:
    """The value of a field that may change.

    Args:
        name: what a notice of change calls it.
        value: as it stands now.
        isolated: its tokens are read by the question and what comes after it, and by nothing in between, so
            that ``field_only`` is exact: see ``pkv_interp.cache.attention_layout``.
    """
    return Segment("field", value, name, isolated)


def system(*parts: str | Segment) -> Message:
    """A system message of texts and fields."""
    return _message("system", parts)


def user(*parts: str | Segment) -> Message:
    """A user message of texts and fields."""
    return _message("user", parts)


def assistant(*parts: str | Segment) -> Message:
    """An earlier answer of the model."""
    return _message("assistant", parts)


def _message(role: str, parts: Sequence[str | Segment]) -> Message:
    for part in parts:
        if not isinstance(part, str | Segment):
            raise PkvError(
                f"the {role} message has {short(part)}, of type {type(part).__name__}, among its parts",
                "give text and field(name, value)",
            )
    return Message(role, tuple(text(part) if isinstance(part, str) else part for part in parts))


def checked(messages: Iterable[Message]) -> tuple[Message, ...]:
    """The messages, each made with ``system``, ``user`` or ``assistant``; one alone is a list of one.

    Raises:
        PkvError: something else, or a text that cannot be tokenised.
    """
    if isinstance(messages, Message):
        messages = (messages,)
    hint = "make them with system, user, assistant and field, and give a list of them"
    if isinstance(messages, str | Mapping) or not isinstance(messages, Iterable):
        raise PkvError(f"the messages are {short(messages)}, of type {type(messages).__name__}", hint)
    found = tuple(messages)
    for message in found:
        if not isinstance(message, Message):
            raise PkvError(f"a message is {short(message)}, of type {type(message).__name__}", hint)
        for segment in message.segments:
            if segment.kind != "field":  # ``check_value`` speaks of these by name
                checked_text(segment.text, f"a text of the {message.role} message")
    return found


def values_of(messages: Sequence[Message]) -> dict[str, str]:
    """The value of every field, in the order of the text.

    Raises:
        PkvError: no message, no field, a field without a name or a value, or a name that stands twice.
    """
    if not messages:
        raise PkvError("a context of no messages was asked for", "give at least one message")
    found: dict[str, str] = {}
    for segment in (s for m in messages for s in m.segments if s.kind == "field"):
        if not segment.name:
            raise PkvError(f"the field of value '{segment.text}' has no name", "name it: field(name, value)")
        if segment.name in found:
            raise PkvError(f"the field '{segment.name}' stands twice", "give each field a name of its own")
        found[segment.name] = check_value(segment.name, segment.text)
    if not found:
        raise PkvError("the messages have no field", "mark what may change with field(name, value)")
    return found


def check_field(name: str, names: Iterable[str]) -> str:
    """The name of a field, unless there is none of it.

    Raises:
        PkvError: it is not among the names.
    """
    known = tuple(names)
    if name not in known:
        raise PkvError(f"there is no field '{name}'", f"the fields are {', '.join(known)}")
    return name


def check_value(name: str, value: str) -> str:
    """The value, unless it is empty.

    Raises:
        PkvError: no text, or nothing but blanks.
    """
    if not isinstance(value, str):
        raise PkvError(f"the field '{name}' was given {value!r}, a {type(value).__name__}", "give text")
    if not value.strip():
        raise PkvError(f"the field '{name}' was given an empty value", "name what is there now, 'none' say")
    checked_text(value, f"the value of '{name}'")
    return value


def put(messages: Sequence[Message], name: str, words: str) -> tuple[Message, ...]:
    """The messages with other words where the field ``name`` stands.

    Args:
        messages: of the context.
        name: of the field.
        words: its new text.
    """

    def one(segment: Segment) -> Segment:
        here = segment.kind == "field" and segment.name == name
        return replace(segment, text=words) if here else segment

    return tuple(replace(m, segments=tuple(one(s) for s in m.segments)) for m in messages)
