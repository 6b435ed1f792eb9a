"""Messages from a layout and what fills it; every piece of text keeps its kind."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from string import Formatter

from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.tasks.layouts import Content, Layout, Style

#: The kind of the white space after a block that ends in a segment of this kind.
_AROUND = {"field": "session", "trigger": "rule", "action": "rule", "filler": "rule"}


def lay_out(layout: Layout, content: Content, style: Style) -> tuple[Message, ...]:
    """System and user messages of a prompt, ended by the question.

    Raises:
        PkvError: the layout lacks what the style asks for.
    """
    blocks = {
        "state": lambda: _state(layout, content),
        "rule": lambda: _rule(layout, content),
        "tools": lambda: list(_tools(layout, content)),
        "ask": lambda: _ask(layout.asking(style.reason_first), content),
    }
    system = Message("system", (Segment("system", layout.role.format(role=content.role), "system"),))
    *inner, last = (blocks[name]() for name in layout.ordered(style.field_late))
    if layout.reply is None:
        joined = [part for block in inner for part in _ended(block, layout.join)]
        return system, Message("user", (*joined, *last))
    turns = [system]
    for block in inner:
        turns.append(Message("user", tuple(_trimmed(block))))
        turns.append(Message("assistant", (Segment("conversation", layout.reply),)))
    return (*turns, Message("user", tuple(last)))


def _pieces(template: str, blanks: Mapping[str, Sequence[Segment]], kind: str) -> list[Segment]:
    """The template's segments: neighbouring texts of ``kind`` without a name become one."""
    out: list[Segment] = []
    for literal, name, _, _ in Formatter().parse(template):
        for part in ([Segment(kind, literal)] if literal else []) + list(blanks[name] if name else ()):
            if out and part.name is None and out[-1] == Segment(kind, out[-1].text) and part.kind == kind:
                out[-1] = Segment(kind, out[-1].text + part.text)
            else:
                out.append(part)
    return out


def _state(layout: Layout, content: Content) -> list[Segment]:
    first, second = content.bystanders
    fills = {
        "field": [Segment("session", content.field)],
        "value": [Segment("field", content.value, "field")],
        "request": [Segment("conversation", content.request, "conversation")],
        "bystander_1": [Segment("session", first)],
        "bystander_2": [Segment("session", second)],
    }
    return _pieces(layout.state, fills, "session")


def _rule(layout: Layout, content: Content) -> list[Segment]:
    copies: list[Segment] = []
    for number, statement in enumerate(content.rule):
        copies += [*([Segment("rule", "\n")] if number else []), *statement]
    fills = {"before": content.before, "rule": copies, "after": content.after}
    out: list[Segment] = []
    text = "\n"
    for literal, name, _, _ in Formatter().parse(layout.rule):
        if literal:
            out.append(Segment("rule", literal))
            text = literal
        if name in ("before", "after"):
            end = "\n" if text.endswith("\n") else " "
            lines = ((part, layout.filler.format(filler=part.text)) for part in fills[name])
            out.extend(replace(part, text=line + end) for part, line in lines)
        elif name:
            out.extend(fills[name])
            text = "."
    return out


def _tools(layout: Layout, content: Content) -> Iterator[Segment]:
    yield Segment("tools", (layout.tools or "").format(tools=content.tools), "tools")


def _ask(template: str, content: Content) -> list[Segment]:
    """The request with the white space after it, the update, and the question.

    Without a request, which then stands in the block of the field, the update comes first.
    """
    filled = template.format(request="\0", menu=" or ".join(content.menu), field=content.field)
    request, there, question = filled.partition("\0")
    if not there:
        line = () if content.update is None else (content.update,)
        return [*line, Segment("decision", filled, "question")]
    blank = question[: len(question) - len(question.lstrip())]
    out = [Segment("conversation", f"{request}{content.request}{blank}", "conversation")]
    if content.update is not None:
        start = "" if blank.endswith("\n") else "\n"
        out.append(replace(content.update, text=f"{start}{content.update.text}"))
    return [*out, Segment("decision", question[len(blank) :], "question")]


def _ended(block: Iterable[Segment], join: str) -> list[Segment]:
    """The block, ended by ``join`` in place of its own white space; as it is where there is no ``join``."""
    if not join:
        return list(block)
    parts = _trimmed(block)
    return [*parts, Segment(_AROUND.get(parts[-1].kind, parts[-1].kind), join)]


def _trimmed(block: Iterable[Segment]) -> list[Segment]:
    """The block without white space at its end, which a chat template may take off a message."""
    parts = list(block)
    while not parts[-1].text.strip():
        parts.pop()
    return [*parts[:-1], replace(parts[-1], text=parts[-1].text.rstrip())]


def statement(
    text: str, trigger: str, actions: Sequence[str], *, last: bool, other_value: str | None = None
) -> tuple[Segment, ...]:
    r"""One statement of a rule.

    A rule that names both values has one span ``trigger`` from the first of them to the second: when the
    trigger flips, both change.

    Args:
        text: with the blanks ``{trigger}``, ``{act}``, ``{other}`` and ``{other_value}`` as ``\0`` to ``\3``.
        trigger: the value that the rule names.
        actions: the rule's action, then the other one.
        last: the last statement's parts are named spans; in the others only the trigger is.
        other_value: the value that calls for the other action, in a rule that names it.
    """
    marks = {
        "\1": Segment("action", actions[0], "action_act"),
        "\2": Segment("action", actions[1], "action_other"),
        "\3": Segment("trigger", other_value or "", "trigger"),
    }
    before, after = text.split("\0")
    parts: list[Segment] = []
    for half in (before, after):
        held = ""
        for letter in half:
            if letter in marks:
                parts += [Segment("rule", held), marks[letter]]
                held = ""
            else:
                held += letter
        if held:
            parts.append(Segment("rule", held, "rule"))
        if half is before:
            parts.append(Segment("trigger", trigger, "trigger"))
    kept = [part for part in parts if part.text]
    if last:
        return tuple(kept)
    return tuple(part if part.name == "trigger" else replace(part, name=None) for part in kept)
