"""What the page shows, as one value: prompt and choices of every view, for a permalink and a record."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pkv_interp.errors import PkvError, short
from pkv_interp.names import Part

#: Characters of a line, so that controls let nobody write more.
LONGEST_LINE = 400
#: Characters of a text in a prompt: what makes some thousand tokens.
Text = Annotated[str, Field(max_length=20_000)]
Line = Annotated[str, Field(max_length=LONGEST_LINE)]
Index = Annotated[int, Field(ge=0, le=100_000)]
View = Literal["prompt", "notes", "heads", "edit", "compose", "export"]
VIEWS: tuple[View, ...] = ("prompt", "notes", "heads", "edit", "compose", "export")
#: Most steps of a chain of edits.
LONGEST_CHAIN = 12


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Scenario(_Part):
    """A prompt made from a scenario.

    Attributes:
        family: name of the scenario.
        index: of the instance in its family.
        wording: of the rule; None takes the instance's own.
        flip: what the two prompts differ in, the field or what the rule names.
        fillers: neutral sentences around the rule.
        late: the field stands after the rule.
    """

    kind: Literal["scenario"] = "scenario"
    family: Line = "orders"
    index: Annotated[int, Field(ge=0, le=9999)] = 0
    wording: Line | None = None
    flip: Literal["field", "rule"] = "field"
    fillers: Annotated[int, Field(ge=0, le=40)] = 2
    late: bool = False


class Own(_Part):
    """A prompt of the reader's own; one value stands as ``[[field: value | other value]]``.

    Attributes:
        system: the system message, none where it is empty.
        context: the user message up to the question; errata come after it.
        question: the end of the user message.
        cue: opens the answer; its last token is the decision token.
        actions: the word that the first value calls for, then the one that the other value calls for.
        chat: through the chat template, where there is one.
    """

    kind: Literal["own"] = "own"
    system: Text = ""
    context: Text = ""
    question: Text = ""
    cue: Line = "Action:"
    actions: tuple[Line, Line] = ("", "")
    chat: bool = True


Source = Annotated[Scenario | Own, Field(discriminator="kind")]


class Notes(_Part):
    """What is patched at words.

    Attributes:
        part: keys, values or both.
        layers: first and last layer of the band; None takes all.
        words: positions that are patched jointly.
    """

    part: Part = "KV"
    layers: tuple[Index, Index] | None = None
    words: Annotated[tuple[Index, ...], Field(max_length=4000)] = ()


class Heads(_Part):
    """Which heads are looked at.

    Attributes:
        site: heads that read at the decision, or heads that write at the chosen words.
        mode: put in the clean output, or knock out (the mean of both prompts in its place).
        chosen: layer and head of each.
    """

    site: Literal["read", "write"] = "read"
    mode: Literal["patch", "knockout"] = "patch"
    chosen: Annotated[tuple[tuple[Index, Index], ...], Field(max_length=400)] = ()


class Step(_Part):
    """One edit of a chain."""

    field: Line
    value: Line
    method: Line


class Edit(_Part):
    """An edit by several methods side by side, and a chain of edits.

    Attributes:
        value: the new value of the field; empty stands for the pair's other value.
        wording: of errata, with ``{field}`` and ``{value}``.
        methods: names, with their amounts.
        chain: steps after one another, from the clean prompt on.
    """

    value: Line = ""
    wording: Line = "override"
    methods: Annotated[tuple[Line, ...], Field(max_length=24)] = ()
    chain: Annotated[tuple[Step, ...], Field(max_length=LONGEST_CHAIN)] = ()


class Compose(_Part):
    """A chunk that is cut out of the clean prompt.

    Attributes:
        span: first position and the one after the last; None takes the rule.
        to: where it is put, as a position of the prompt without it; None puts it back.
        repair: its first tokens that are run again in their new place.
    """

    span: tuple[Index, Index] | None = None
    to: Index | None = None
    repair: Index = 0

    @model_validator(mode="after")
    def _forward(self) -> "Compose":
        if self.span is not None and self.span[0] >= self.span[1]:
            raise ValueError("the chunk is empty")
        return self


class State(_Part):
    """All of it."""

    view: View = "prompt"
    source: Source = Scenario()
    notes: Notes = Notes()
    heads: Heads = Heads()
    edit: Edit = Edit()
    compose: Compose = Compose()


def state_of(values: Any, what: str = "the state") -> State:
    """A state from plain values, of a page or a permalink.

    Raises:
        PkvError: it is none; the line names the first thing that is wrong.
    """
    try:
        return State.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "it"
        raise PkvError(
            f"{what} cannot be read: {place}: {first['msg']}", "choose it in the page anew"
        ) from error


def source_of(values: Any) -> Scenario | Own:
    """The prompt alone.

    Raises:
        PkvError: it is none.
    """
    if not isinstance(values, dict):
        raise PkvError(f"the prompt is {short(values)}", "choose a scenario")
    return state_of({"source": values}, "the prompt").source
