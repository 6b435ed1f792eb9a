"""How cases are made (`Recipe`), and one instance before its field has a value (`Instance`)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Required, TypeAlias, TypedDict

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.streams import stream as named_stream
from pkv_interp.tasks.alignment import aligned_values, check_values
from pkv_interp.tasks.draws import Draw, draw
from pkv_interp.tasks.lay_out import lay_out, statement
from pkv_interp.tasks.layouts import Content, Layout, Style
from pkv_interp.tasks.scenarios import Family, Scenarios, default_scenarios


class RecipeOptions(TypedDict, total=False):
    """The fields of a `Recipe` as keywords of the functions that make cases."""

    seed: Required[int]
    style: Style
    wordings: Sequence[str] | None
    values: tuple[str, str] | None
    redraw: int
    scenarios: Scenarios


@dataclass(frozen=True)
class Recipe:
    """How the cases of a run are made.

    Attributes:
        seed: of all draws; family and index are mixed in.
        style: how prompts are laid out.
        wordings: rule wordings that instances take in turn; None for all of the scenarios.
        values: the two values of the field; drawn among those of one token length when None.
        redraw: above 0, record number and bystander fields are drawn anew and nothing else.
        scenarios: where rules, layouts, fillers and bystanders come from.
    """

    seed: int
    style: Style = Style()
    wordings: Sequence[str] | None = None
    values: tuple[str, str] | None = None
    redraw: int = 0
    scenarios: Scenarios = field(default_factory=default_scenarios)

    def rng(self, family: Family, index: int, *stream: int) -> np.random.Generator:
        """The random numbers of one instance; ``stream`` tells uses apart."""
        return named_stream(self.seed, "case", family.name, index, *stream)

    def family(self, family: Family) -> Family:
        """The family as the layout writes it.

        Raises:
            PkvError: the layout is unknown.
        """
        return self.scenarios.placed(family, self.style)

    def instance(
        self,
        family: Family,
        index: int,
        rng: np.random.Generator,
        values: tuple[str, str] | None = None,
    ) -> "Instance":
        """Draw an instance; ``rng`` has drawn the values already.

        Args:
            family: as the layout writes it.
            index: of the instance.
            rng: of the instance.
            values: those that field and rule can have, for a rule that names both.

        Raises:
            PkvError: the layout is unknown.
        """
        scenarios = self.scenarios.in_layout(self.style.layout)
        chosen = draw(family, rng, self.style.n_fillers, self.scenarios)
        if self.redraw:
            fresh = draw(family, self.rng(family, index, self.redraw), 0, self.scenarios)
            chosen = replace(chosen, record=fresh.record, bystanders=fresh.bystanders)
        wordings = tuple(scenarios.rules) if self.wordings is None else self.wordings
        wording = wordings[index % len(wordings)]
        return Instance(family, index, chosen, wording, self.style, scenarios, values)


@dataclass(frozen=True)
class Update:
    """A line after the request that gives a field's value as it is now.

    Attributes:
        wording: key of `pkv_interp.prompts.errata.UPDATES`.
        value: the new value.
        field: the field that the line names, None for the family's.
    """

    wording: str
    value: str
    field: str | None = None


#: One update, several, or none.
Updates: TypeAlias = Update | Sequence[Update]


@dataclass(frozen=True)
class Instance:
    """What the prompts of one instance share, whatever the field's value and the rule's trigger are.

    Attributes:
        family: the domain.
        index: of the instance in its family.
        chosen: its draws.
        wording: name of a rule of the scenarios, or of a template outside them.
        style: how its prompts are laid out.
        scenarios: where rules, layouts and tools come from.
        values: the two values that field and rule can have, or None where no rule names both.
    """

    family: Family
    index: int
    chosen: Draw
    wording: str
    style: Style = Style()
    scenarios: Scenarios = field(default_factory=default_scenarios)
    values: tuple[str, str] | None = None

    @property
    def layout(self) -> Layout:
        """The layout of its prompts.

        Raises:
            PkvError: it is unknown.
        """
        return self.scenarios.layout(self.style)

    @property
    def name(self) -> str:
        """Unique in a run: family, index and record number."""
        return f"{self.family.name}-{self.index}-{self.chosen.record}"

    def content(self, *, value: str, trigger: str, update: Updates = ()) -> Content:
        """What fills the layout.

        Raises:
            PkvError: the wording is unknown, or names both values where others can stand.
        """
        family, chosen = self.family, self.chosen
        rule = self.scenarios.rule(self.wording)
        text = rule.format(field=family.field, trigger="\0", act="\1", other="\2", other_value="\3")
        other = self._other_value(value, trigger) if "\3" in text else None
        copies = self.style.n_rules
        half = len(chosen.fillers) // 2
        return Content(
            role=family.role,
            field=family.field,
            value=value,
            bystanders=chosen.bystanders,
            rule=tuple(
                statement(text, trigger, chosen.actions, last=copy == copies - 1, other_value=other)
                for copy in range(copies)
            ),
            before=tuple(Segment("filler", line, "fillers_before") for line in chosen.fillers[:half]),
            after=tuple(Segment("filler", line, "fillers") for line in chosen.fillers[half:]),
            tools=self.scenarios.tools,
            request=family.request.format(id=chosen.record),
            menu=chosen.menu,
            update=Segment("update", self._lines(update), "update") if update else None,
        )

    def messages(self, *, value: str, trigger: str, update: Updates = ()) -> tuple[Message, ...]:
        """System and user messages of one prompt, up to the end of the question.

        Args:
            value: the field's value.
            trigger: the value that the rule names.
            update: appended after everything but the question; several stand in their order.

        Raises:
            PkvError: the wording or the layout is unknown.
        """
        return lay_out(self.layout, self.content(value=value, trigger=trigger, update=update), self.style)

    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> Prompt:
        """Messages followed by the layout's cue, rendered in this instance's style."""
        cue = self.style.cue_after(self.layout.cue_of(self.family.field))
        return build(
            messages,
            Segment("decision", cue, "decision"),
            tokenizer,
            chat=self.style.chat and self.layout.chat,
            thinking=self.style.thinking,
        )

    def _lines(self, updates: Updates) -> str:
        """One line for each update, as the layout writes it."""
        given = (updates,) if isinstance(updates, Update) else updates
        notation, own = self.layout.notation, self.family.field
        return "".join(notation.erratum(one.field or own, one.value, one.wording) for one in given)

    def _other_value(self, value: str, trigger: str) -> str:
        """The value of the two that is not the trigger."""
        if self.values is None or not {value, trigger} <= set(self.values):
            raise PkvError(
                f"the rule '{self.wording}' names two values, and this prompt has others",
                "choose a layout whose rule has a default",
            )
        first, second = self.values
        return second if trigger == first else first


def drawn_values(
    family: Family, rng: np.random.Generator, tokenizer: Any, values: tuple[str, str] | None
) -> tuple[str, str]:
    """Two values of one token length in random order: those given, once checked, or a pair of the family's.

    Raises:
        PkvError: the given values are unknown or differ in length, or no two of the family's agree.
    """
    if values is not None:
        check_values(family, values, tokenizer)
        return values
    pairs = aligned_values(family, tokenizer)
    pair = pairs[int(rng.integers(len(pairs)))]
    flip = int(rng.integers(2))
    return pair[flip], pair[1 - flip]
