"""Layouts: in which order the blocks of a prompt stand, and the words around what fills them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from string import Formatter

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Message, Segment

CUE = "Action:"
#: Opens a chain of thought: in plain text, and where the template has a thinking block.
REASON_CUE, THINK_CUE = "Reason:", "<think>"
_BLANK_LINE = "\n\n"
#: The kind of the white space after a block that ends in a segment of this kind.
_AROUND = {"field": "session", "trigger": "rule", "action": "rule", "filler": "rule"}


@dataclass(frozen=True)
class Style:
    """How prompts are laid out.

    Attributes:
        n_fillers: neutral sentences, half of them before the rule.
        field_late: swap the blocks with the field and with the rule.
        chat: use the chat template where the tokenizer has one.
        thinking: the template's thinking switch.
        n_rules: how often the rule is stated, one copy after the other.
        reason_first: ask for a reason before the answer; the prompt ends where the chain starts.
        layout: name of a layout of the scenarios, None for their first.
    """

    n_fillers: int = 2
    field_late: bool = False
    chat: bool = True
    thinking: bool | None = None
    n_rules: int = 1
    reason_first: bool = False
    layout: str | None = None

    @property
    def cue(self) -> str:
        """The text that a prompt of the packaged layouts ends with."""
        return self.cue_after(CUE)

    def cue_after(self, answer: str) -> str:
        """The text that the prompt ends with, where ``answer`` is the layout's cue."""
        if not self.reason_first:
            return answer
        return THINK_CUE if self.thinking else REASON_CUE


@dataclass(frozen=True)
class Layout:
    """The blocks of a prompt as ``str.format`` templates.

    Attributes:
        name: identifier.
        state: block with ``{field}`` and ``{value}``; may have ``{bystander_1}`` and ``{bystander_2}``.
        rule: block with ``{before}``, ``{rule}`` and ``{after}``: the rule between neutral sentences, each of
            which ends in a line break where its place starts a line, else in a blank.
        ask: block with ``{request}`` and, after it, the question with ``{menu}``.
        cue: text after the messages; its last token is the decision token.
        order: the blocks in order (``state``, ``rule``, ``tools``, ``ask``).
        tools: block with ``{tools}``, or None.
        ask_reason: ``ask`` for prompts that want a reason first, or None.
        join: what ends a block, after its own white space was taken off; "" leaves blocks as they are.
        reply: what the assistant says between blocks that are messages of their own; None puts all blocks
            into one message.
    """

    name: str
    state: str
    rule: str
    ask: str
    cue: str
    order: tuple[str, ...] = ("state", "rule", "ask")
    tools: str | None = None
    ask_reason: str | None = None
    join: str = _BLANK_LINE
    reply: str | None = None

    def ordered(self, field_late: bool) -> tuple[str, ...]:
        """The blocks in order, state and rule swapped for ``field_late``."""
        if not field_late:
            return self.order
        swapped = {"state": "rule", "rule": "state"}
        return tuple(swapped.get(block, block) for block in self.order)

    def asking(self, reason_first: bool) -> str:
        """The template of the last block.

        Raises:
            PkvError: the layout has none that asks for a reason.
        """
        if not reason_first:
            return self.ask
        if self.ask_reason is None:
            raise PkvError(f"the layout '{self.name}' does not ask for a reason", "give it an ask_reason")
        return self.ask_reason


@dataclass(frozen=True)
class Content:
    """What fills a layout.

    Attributes:
        role: the system message.
        field: label of the field.
        value: its value.
        bystanders: two lines of the session.
        rule: one statement of the rule, or several.
        before: neutral sentences before the rule, without line ends.
        after: those after it.
        tools: description of tools.
        request: the turn that asks for a decision.
        menu: the two actions in the order in which the question names them.
        update: a line between the request and the question, or None.
    """

    role: str
    field: str
    value: str
    bystanders: tuple[str, str]
    rule: tuple[tuple[Segment, ...], ...]
    before: tuple[Segment, ...]
    after: tuple[Segment, ...]
    tools: str
    request: str
    menu: tuple[str, str]
    update: Segment | None = None


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
    system = Message("system", (Segment("system", content.role, "system"),))
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
            out.extend(replace(part, text=part.text + end) for part in fills[name])
        elif name:
            out.extend(fills[name])
            text = "."
    return out


def _tools(layout: Layout, content: Content) -> Iterator[Segment]:
    yield Segment("tools", (layout.tools or "").format(tools=content.tools), "tools")


def _ask(template: str, content: Content) -> list[Segment]:
    """The request with the white space after it, the update, and the question."""
    request, _, question = template.format(request="\0", menu=" or ".join(content.menu)).partition("\0")
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


def statement(text: str, trigger: str, actions: Sequence[str], *, last: bool) -> tuple[Segment, ...]:
    """One statement of a rule.

    Args:
        text: with the blanks ``{trigger}``, ``{act}`` and ``{other}`` as ``\\0``, ``\\1`` and ``\\2``.
        trigger: the value that the rule names.
        actions: the rule's action, then the other one.
        last: the last statement's parts are named spans; in the others only the trigger is.
    """
    marks = {"\1": ("action_act", actions[0]), "\2": ("action_other", actions[1])}
    before, after = text.split("\0")
    parts: list[Segment] = []
    for half in (before, after):
        held = ""
        for letter in half:
            if letter in marks:
                name, action = marks[letter]
                parts += [Segment("rule", held), Segment("action", action, name)]
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
