"""From what the reader asks for to an aligned pair, and to the context whose field is edited."""

from dataclasses import dataclass
from typing import Any

from experiments.explore.actions import checked_actions
from experiments.explore.marked import Field, Piece, pieces, the_varied
from experiments.explore.state import Own, Scenario
from pkv_interp.editing import EditableContext, field, system, text, user
from pkv_interp.errors import PkvError, short
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.notation import PROSE, Notation
from pkv_interp.prompts.rendering import on_new_line
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks import Case, Scenarios, Style, field_case, polarity_case
from pkv_interp.tasks.cases import CUE
from pkv_interp.tasks.edits import edit_task

#: The family and the split of a reader's own prompt, which no interval is over.
OWN = "own"
#: The name that the decision token's span has in every prompt.
_DECISION = "decision"


@dataclass(frozen=True, eq=False)
class Pair:
    """Two prompts that differ in one span, and the context that edits begin with.

    Attributes:
        case: the prompts; the clean one calls for the first action.
        messages: of the clean prompt up to the question, with named fields.
        question: stands after them.
        cue: opens the answer.
        chat: through the chat template.
        field: the one that is edited.
        values: of it, on the clean prompt and another one.
        notation: how errata and answers are written.
    """

    case: Case
    messages: tuple[Message, ...]
    question: str
    cue: str
    chat: bool
    field: str
    values: tuple[str, str]
    notation: Notation = PROSE

    def context(self, loaded: LoadedModel) -> EditableContext:
        """The clean prompt as an editable context; nothing of it is run yet."""
        made = EditableContext(
            loaded.model,
            loaded.tokenizer,
            self.messages,
            self.question,
            self.cue,
            self.chat,
            loaded.config.thinking,
        )
        return made.in_notation(self.notation)


@dataclass(frozen=True, eq=False)
class Maker:
    """What pairs are made with.

    Attributes:
        tokenizer: of the model.
        thinking: the template's thinking switch.
        world: scenarios to choose from.
        seed: of their draws.
    """

    tokenizer: Any
    thinking: bool | None
    world: Scenarios
    seed: int

    def make(self, source: Scenario | Own) -> Pair:
        """The pair of a source.

        Raises:
            PkvError: the scenario is unknown, or a prompt of the reader's own is not written as one; the
                line says what is wrong with it and what to write.
        """
        return self._own(source) if isinstance(source, Own) else self._scenario(source)

    def _scenario(self, source: Scenario) -> Pair:
        (family,) = self.world.choose([source.family])
        style = Style(source.fillers, source.late, True, self.thinking)
        recipe: Any = {
            "seed": self.seed,
            "style": style,
            "wordings": None if source.wording is None else (self._wording(source.wording),),
            "scenarios": self.world,
        }
        make = field_case if source.flip == "field" else polarity_case
        case = make(family, source.index, self.tokenizer, **recipe)
        task = edit_task(family, source.index, self.tokenizer, matches=False, **recipe)
        return Pair(
            case,
            task.messages,
            task.question,
            style.cue if task.cue is None else task.cue,
            style.chat and task.chat,
            task.field,
            (task.old, task.new),
            task.notation,
        )

    def _wording(self, name: str) -> str:
        self.world.rule(name)
        return name

    def _own(self, source: Own) -> Pair:
        parts = [pieces(source.system), pieces(source.context)]
        varied = the_varied(parts)
        if any(isinstance(piece, Field) for piece in pieces(source.question)):
            raise PkvError("a field stands in the question", "put it before: an erratum comes in between")
        if not source.context.strip():
            raise PkvError("the prompt is empty", "write what comes before the question")
        names = [p.name for part in parts for p in part if isinstance(p, Field)]
        if _DECISION in names:
            raise PkvError(f"a field is called '{_DECISION}'", "call it otherwise")
        clean, corrupt = (self._prompt(source, parts, value) for value in (varied.value, varied.other))
        _check_aligned(clean, corrupt, varied)
        ids = checked_actions(clean, source.actions, self.tokenizer, self._known_actions())
        first, second = (action.strip() for action in source.actions)
        case = Case(OWN, OWN, OWN, OWN, varied.name, clean, corrupt, (first, second), ids)
        return Pair(
            case,
            _messages(parts, None),
            source.question,
            source.cue or CUE,
            source.chat,
            varied.name,
            (varied.value, str(varied.other)),
        )

    def _prompt(self, source: Own, parts: list[list[Piece]], value: str | None) -> Prompt:
        """One whole prompt, with the question in its last message."""
        *before, last = _messages(parts, value)
        asked = on_new_line(last.text, source.question)
        closed = (*last.segments, Segment(_DECISION, asked)) if asked else last.segments
        messages = [*before, Message(last.role, closed)]
        cue = Segment(_DECISION, source.cue or CUE, _DECISION)
        return build(messages, cue, self.tokenizer, chat=source.chat, thinking=self.thinking)

    def _known_actions(self) -> list[str]:
        return sorted({action for family in self.world.families for action in family.actions})


def _messages(parts: list[list[Piece]], value: str | None) -> tuple[Message, ...]:
    """System message, where there is one, and user message; ``value`` stands in the field that varies."""

    def written(part: list[Piece]) -> list[Segment]:
        return [
            text(p) if isinstance(p, str) else field(p.name, value if value and p.other else p.value)
            for p in part
        ]

    said, asked = parts
    return (*([system(*written(said))] if said else []), user(*written(asked)))


def _check_aligned(clean: Prompt, corrupt: Prompt, varied: Field) -> None:
    """Refuse two prompts that are not one token by token outside of the field.

    Raises:
        PkvError: the line has the tokens of both values.
    """
    if len(clean) == len(corrupt) and clean.spans == corrupt.spans:
        start, stop = clean.spans[varied.name]
        apart = [i for i, (a, b) in enumerate(zip(clean.ids, corrupt.ids, strict=True)) if a != b]
        if apart and start <= apart[0] and apart[-1] < stop:
            return
        raise PkvError(
            f"'{varied.value}' and '{varied.other}' change how the words around them are split",
            "put blanks or other marks around the value",
        )
    told = " and ".join(
        f"{short(' '.join(prompt.tokens[slice(*prompt.spans[varied.name])]).strip())} "
        f"({prompt.spans[varied.name][1] - prompt.spans[varied.name][0]})"
        for prompt in (clean, corrupt)
    )
    raise PkvError(
        f"the values of '{varied.name}' have different numbers of tokens: {told}",
        "choose two values of one token length, so that the prompts align word by word",
    )
