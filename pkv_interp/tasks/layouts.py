"""Layouts: in which order the blocks of a prompt stand, and the words around what fills them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pkv_interp.errors import PkvError
from pkv_interp.prompts.notation import Notation, identifier
from pkv_interp.prompts.segments import Segment

CUE = "Action:"
#: Opens a chain of thought: in plain text, and where the template has a thinking block.
REASON_CUE, THINK_CUE = "Reason:", "<think>"
_BLANK_LINE = "\n\n"
#: What stands before a value where the tokens of values are counted, in prose.
BEFORE_VALUE = ": "


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
        rules: rule wordings of the layout's own, by name, in place of those of the scenarios: a rule that is
            code. Such a layout may have ``{field}`` in its ``ask`` and its ``cue``, and no ``{menu}``.
        role: the system message with ``{role}``.
        filler: a neutral sentence with ``{filler}``.
        identifiers: labels of fields are written as names of variables: "order status" as "order_status".
        before_value: what stands before a value, by which values of one token length are found.
        before_answer: what stands between the cue and the answer; None is a blank, unless the prompt ends in
            white space.
        first_token: an answer is read by its first token; otherwise it must be a single one.
        chat: the chat template is used where the style wants it; False leaves it out.
        errata: wordings of errata of the layout's own, by names of ``pkv_interp.prompts.errata.UPDATES``; a
            layout with rules of its own writes the others as it writes sentences.
        swaps: the blocks of state and rule may change places.
        read_back: the ``ask`` and the ``cue`` of a prompt without a rule that reads a field back, in a layout
            with rules of its own; None where it has none.
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
    rules: Mapping[str, str] | None = None
    role: str = "{role}"
    filler: str = "{filler}"
    identifiers: bool = False
    before_value: str = BEFORE_VALUE
    before_answer: str | None = None
    first_token: bool = False
    chat: bool = True
    errata: Mapping[str, str] | None = None
    swaps: bool = True
    read_back: Mapping[str, str] | None = None

    @property
    def is_code(self) -> bool:
        """Whether the layout has rule wordings of its own."""
        return self.rules is not None

    def label(self, field: str) -> str:
        """The label of a field as it is written here."""
        return identifier(field) if self.identifiers else field

    @property
    def notation(self) -> Notation:
        """How errata and answers are written here."""
        return Notation(
            self.is_code,
            self.identifiers,
            self.filler,
            self.errata or {},
            self.before_answer,
            self.first_token,
        )

    @property
    def without_rule(self) -> "Layout":
        """The layout of prompts that state a field and read it back.

        Raises:
            PkvError: it has none.
        """
        if self.read_back is None:
            raise PkvError(f"the layout '{self.name}' reads no field back", "give it a read_back")
        return replace(self, order=("state", "ask"), **self.read_back)

    @property
    def field_late(self) -> bool:
        """Whether the field stands after the rule where nothing is swapped."""
        return self.order.index("state") > self.order.index("rule")

    def cue_of(self, field: str) -> str:
        """The cue of a prompt about ``field``; without rules of its own a layout has no blanks in it."""
        return self.cue.format(field=field) if self.is_code else self.cue

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
