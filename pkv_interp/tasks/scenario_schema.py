"""What a scenario file may hold: one model per entry, with the checks that need no tokenizer."""

import re
from collections import Counter
from collections.abc import Callable
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pkv_interp.tasks.layouts import BEFORE_VALUE

Split = Literal["discovery", "held_out", "confirm"]
Block = Literal["state", "rule", "tools", "ask"]
Text = Annotated[str, StringConstraints(pattern=r"\S")]
#: A file may say in words that every block is a message of its own and what the assistant says in between.
_EACH = re.compile(r"one message each; the assistant \w+ the first two with (?P<reply>.*\S.*)")
_QUOTES = "\"'`\u2018\u2019\u201c\u201d"


def problem(reason: str, suggestion: str) -> PydanticCustomError:
    """A failed check, in the form in which pydantic collects it."""
    return PydanticCustomError("check", "{reason}", {"reason": reason, "suggestion": suggestion})


def placeholders(template: str) -> list[str]:
    """Names of the blanks of a ``str.format`` template, in order.

    Raises:
        PydanticCustomError: braces that do not pair up, or a blank with a conversion or a format of its own.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise problem(f"braces do not pair up ({error})", "write a brace of the text as {{ or }}") from error
    if any(spec or conversion for _, _, spec, conversion in parts):
        raise problem("a placeholder has a format of its own", "write the name alone in the braces")
    return [name for _, name, _, _ in parts if name is not None]


def blanks(once: tuple[str, ...], *, some: tuple[str, ...] = (), may: tuple[str, ...] = ()) -> AfterValidator:
    """`template_check` for an annotation."""
    return AfterValidator(template_check(once, some=some, may=may))


def template_check(
    once: tuple[str, ...], *, some: tuple[str, ...] = (), may: tuple[str, ...] = ()
) -> Callable[[str], str]:
    """A check that a template has each of ``once`` exactly once, each of ``some`` at least once, no others.

    Args:
        once: names that stand exactly once.
        some: names that stand once or more.
        may: names that stand at most once.
    """
    known = (*some, *once, *may)
    listed = ", ".join(f"{{{name}}}" for name in known) or "none"

    def check(template: str) -> str:
        found = Counter(placeholders(template))
        for name in found:
            if name not in known:
                raise problem(f"unknown placeholder {{{name}}}", f"placeholders here are {listed}")
        for name in (*some, *once):
            if not found[name]:
                raise problem(f"the placeholder {{{name}}} is missing", f"placeholders here are {listed}")
        for name in (*once, *may):
            if found[name] > 1:
                raise problem(f"the placeholder {{{name}}} stands {found[name]} times", "name it once")
        return template

    return check


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list in which a text stands twice."""
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise problem(f"'{repeated[0]}' stands twice", "give values that differ")
    return values


Values = Annotated[tuple[Text, ...], Field(min_length=2, max_length=4), AfterValidator(distinct)]
Choices = Annotated[tuple[Text, ...], Field(min_length=2), AfterValidator(distinct)]
Actions = Annotated[tuple[Text, Text], AfterValidator(distinct)]
Rule = Annotated[Text, blanks(("trigger", "act", "other"), some=("field",))]
#: A rule that is code: it may name the value that calls for the other action, or have a default.
CodeRule = Annotated[Text, blanks(("trigger", "act", "other"), may=("field", "other_value"))]
_ASK = template_check(("request", "menu"))
_CODE_ASK = template_check((), may=("request", "menu", "field"))
_STATE = template_check(("value",), some=("field",), may=("bystander_1", "bystander_2"))
_CODE_STATE = template_check(("value",), some=("field",), may=("bystander_1", "bystander_2", "request"))
_CODE_CUE = template_check((), may=("field",))
#: A line that gives a field's value as it is now, as a layout of code writes it.
CodeErratum = Annotated[Text, blanks((), some=("value",), may=("field",))]
Update = Literal["bare", "tagged", "override", "re_evaluate", "natural", "notice"]


class Entry(BaseModel):
    """Base: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FamilyEntry(Entry):
    """One family; see `pkv_interp.tasks.scenarios.Family`."""

    name: Text
    split: Split = "confirm"
    role: Text
    field: Text
    values: Values
    actions: Actions
    request: Annotated[Text, blanks((), may=("id",))]


class ReadBackEntry(Entry):
    """How a prompt without a rule asks for a field's value; see `pkv_interp.tasks.layouts.Layout`."""

    ask: Annotated[Text, blanks((), may=("request", "field"))]
    cue: Annotated[Text, blanks((), may=("field",))]


class LayoutEntry(Entry):
    """One layout; see `pkv_interp.tasks.layouts.Layout`."""

    name: Text
    rules: Annotated[dict[Text, CodeRule], Field(min_length=1)] | None = None
    state: Text
    rule: Annotated[Text, blanks(("before", "rule", "after"))]
    ask: Text
    cue: Text
    turns: str = "one"
    reply: Text | None = None
    tools: Annotated[Text, blanks((), may=("tools",))] | None = None
    ask_reason: Text | None = None
    order: tuple[Block, ...] | None = None
    join: str | None = None
    role: Annotated[Text, blanks(("role",))] = "{role}"
    filler: Annotated[Text, blanks(("filler",))] = "{filler}"
    identifiers: bool = False
    before_value: str = BEFORE_VALUE
    before_answer: str | None = None
    first_token: bool = False
    chat: bool = True
    errata: dict[Update, CodeErratum] | None = None
    swaps: bool = True
    read_back: ReadBackEntry | None = None

    @field_validator("state")
    @classmethod
    def _states(cls, template: str, info: ValidationInfo) -> str:
        return (_CODE_STATE if info.data.get("rules", ()) is not None else _STATE)(template)

    @field_validator("ask", "ask_reason")
    @classmethod
    def _asks(cls, template: str | None, info: ValidationInfo) -> str | None:
        if template is None:
            return None
        # Validation of a wrong ``rules`` leaves no entry: what is asked for then is the laxer form.
        code = info.data.get("rules", ()) is not None
        return (_CODE_ASK if code else _ASK)(template)

    @field_validator("cue")
    @classmethod
    def _opens(cls, cue: str, info: ValidationInfo) -> str:
        # Without rules of its own a layout's cue is text, with whatever braces it has.
        return cue if info.data.get("rules") is None else _CODE_CUE(cue)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks in the order of the prompt."""
        if self.order is not None:
            return self.order
        return ("state", "rule", "ask") if self.tools is None else ("state", "rule", "tools", "ask")

    @property
    def said_between(self) -> str | None:
        """What the assistant says between blocks that are messages of their own; None for one message."""
        if self.turns == "one":
            return None
        told = _EACH.fullmatch(self.turns)
        if told is None:
            return self.reply
        quoted = re.fullmatch(f"[{_QUOTES}](.+)[{_QUOTES}][.]?", told["reply"])
        return quoted[1] if quoted else told["reply"]

    @model_validator(mode="after")
    def _fits(self) -> "LayoutEntry":
        wanted = {"state", "rule", "ask"} | ({"tools"} if self.tools is not None else set())
        if set(self.blocks) != wanted or len(self.blocks) != len(wanted) or self.blocks[-1] != "ask":
            raise problem(
                f"the order [{', '.join(self.blocks)}] does not hold every block once with ask at the end",
                f"order {', '.join(sorted(wanted - {'ask'}))} and then ask",
            )
        if self.turns != "one" and self.turns != "each" and not _EACH.fullmatch(self.turns):
            raise problem(f"unknown turns '{self.turns}'", "use one, or each with a reply")
        if self.turns == "each" and self.reply is None:
            raise problem(
                "with a message for each block the assistant's reply is missing", "add the key reply"
            )
        if ("{request}" in self.state) == ("{request}" in self.ask):
            raise problem(
                "{request} must stand in ask, or in the state of a layout with rules of its own",
                "write it into one of the two",
            )
        asked = self.ask.partition("{request}")
        if asked[1] and "{menu}" in asked[0]:
            raise problem("{menu} stands before {request}", "put the question after the request")
        if self.rules is not None and asked[1] and not asked[2].strip():
            raise problem("nothing stands after {request}", "end ask in a question or a comment")
        if self.rules is None and (self.errata is not None or self.read_back is not None):
            raise problem("errata and read_back belong to a layout with rules of its own", "leave them out")
        if self.read_back is not None and ("{request}" in self.read_back.ask) == ("{request}" in self.state):
            raise problem("{request} stands in read_back where it does not in ask", "write it as in ask")
        return self


class SessionFieldEntry(Entry):
    """One session field that decides nothing; see `pkv_interp.tasks.session_fields.SessionField`."""

    name: Text
    pattern: Text | None = None
    groups: tuple[Choices, ...] = ()
    soft_rule: Annotated[Text, blanks(("value",))] | None = None

    @model_validator(mode="after")
    def _fits(self) -> "SessionFieldEntry":
        if (self.pattern is None) == (not self.groups):
            raise problem("give either a pattern or groups of values", "keep one of the two keys")
        if self.pattern is not None and not set(self.pattern) & set("#x"):
            raise problem(f"the pattern '{self.pattern}' has no wildcard", "put # for a digit or x in it")
        if self.pattern is None and len(self.groups) < 2:
            raise problem("there is one group of values", "give at least two, near values in one group")
        return self


class SessionFieldsEntry(Entry):
    """Session fields by conditioning strength."""

    low: Annotated[tuple[SessionFieldEntry, ...], Field(min_length=1)]
    medium: Annotated[tuple[SessionFieldEntry, ...], Field(min_length=1)]


class ScenarioFile(Entry):
    """A whole file; a section that is left out is taken from the packaged file."""

    families: Annotated[tuple[FamilyEntry, ...], Field(min_length=1)] | None = None
    rules: Annotated[dict[Text, Rule], Field(min_length=1)] | None = None
    layouts: Annotated[tuple[LayoutEntry, ...], Field(min_length=1)] | None = None
    fillers: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    tools: Text | None = None
    planted: Annotated[Text, blanks(("action",))] | None = None
    bystanders: Annotated[dict[Text, Choices], Field(min_length=2)] | None = None
    session_fields: SessionFieldsEntry | None = None

    @model_validator(mode="before")
    @classmethod
    def _sections(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not data:
            raise problem("the file holds no sections", f"give one of {', '.join(cls.model_fields)}")
        return data
