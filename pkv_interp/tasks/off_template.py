"""Field pairs outside the scenario template: two hops, conversational words, near-verbatim lookup.

In the lookup the field is itself the answer, so a decision can copy it (arXiv 2606.17107, off-template
generality). Fields, values and actions are those of the scenario families.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

from pkv_interp.prompts.segments import Message, Segment, build
from pkv_interp.streams import stream
from pkv_interp.tasks.cases import CUE, Case, paired
from pkv_interp.tasks.draws import Draw, draw
from pkv_interp.tasks.lay_out import lay_out
from pkv_interp.tasks.layouts import Content, Layout
from pkv_interp.tasks.quads import value_pair
from pkv_interp.tasks.recipes import Instance, Recipe, RecipeOptions
from pkv_interp.tasks.scenarios import Family

Template = Literal["multi_hop", "conversational", "lookup"]
TEMPLATES: tuple[Template, ...] = ("multi_hop", "conversational", "lookup")
#: Label of the field that the lookup copies.
LOOKUP_FIELD = "assigned action"
_SHELVES = ("north", "south")


def _multi_hop(family: Family, chosen: Draw, values: Sequence[str], held: str, turn: int) -> list[Segment]:
    """The field names a shelf, and the shelf names the action."""
    shelf = dict(zip(values, _SHELVES, strict=True))
    act = dict(zip(values, chosen.actions, strict=True))
    order = [values[turn], values[1 - turn]]
    shelves = "; ".join(f"with the {family.field} at {v} it goes to the {shelf[v]} shelf" for v in order)
    actions = "; ".join(f"for the {shelf[v]} shelf the right action is {act[v]}" for v in reversed(order))
    return [
        Segment("session", f"{family.field}: "),
        Segment("field", held, "field"),
        Segment("rule", f"\n\nWhere a record goes: {shelves}.\nWhat is done: {actions}.\n\n", "rule"),
        Segment("conversation", family.request.format(id=chosen.record) + "\n", "conversation"),
        Segment("decision", f"Answer with one word, {chosen.menu[0]} or {chosen.menu[1]}.", "question"),
    ]


def _conversational(
    family: Family, chosen: Draw, values: Sequence[str], held: str, _turn: int
) -> list[Segment]:
    """The rule in loose words, with no headings."""
    act, other = chosen.actions
    return [
        Segment("conversation", f"Hi! {family.request.format(id=chosen.record)} I see {family.field} "),
        Segment("field", held, "field"),
        Segment(
            "rule",
            f" on my screen. My colleague says that we {act} when it shows {values[0]}, and that we {other} "
            "in any other case.",
            "rule",
        ),
        Segment(
            "decision", f" So what do I do now? Just say {chosen.menu[0]} or {chosen.menu[1]}.", "question"
        ),
    ]


def _lookup(family: Family, chosen: Draw, _values: Sequence[str], held: str, _turn: int) -> list[Segment]:
    """The action stands in the record; the field is copied."""
    return [
        Segment("session", f"Record {chosen.record}\n{chosen.bystanders[0]}\n{LOOKUP_FIELD}: "),
        Segment("field", held, "field"),
        Segment("session", f"\n{chosen.bystanders[1]}\n\n"),
        Segment("conversation", family.request.format(id=chosen.record) + "\n", "conversation"),
        Segment(
            "decision",
            f"Which action is assigned to record {chosen.record}? "
            f"Answer with one word, {chosen.menu[0]} or {chosen.menu[1]}.",
            "question",
        ),
    ]


_BODIES: dict[Template, Callable[[Family, Draw, Sequence[str], str, int], list[Segment]]] = {
    "multi_hop": _multi_hop,
    "conversational": _conversational,
    "lookup": _lookup,
}


@dataclass(frozen=True)
class OffTemplate:
    """The draws of one instance in another template.

    Attributes:
        instance: family, draws and style; its wording is the template's name.
        named: the two values of the family that the text names.
        values: the two values the field can have, the one that calls for the first action first.
        field: the field's label.
        turn: which of two orders the text has.
    """

    template: Template
    instance: Instance
    named: tuple[str, str]
    values: tuple[str, str]
    field: str
    turn: int

    @property
    def chosen(self) -> Draw:
        """The draws of the instance."""
        return self.instance.chosen

    @property
    def code(self) -> Layout | None:
        """The layout of a lookup in code; None where the text is prose."""
        layout = self.instance.layout
        return layout.without_rule if self.template == "lookup" and layout.read_back is not None else None

    @property
    def cue(self) -> str:
        """What opens the answer."""
        return CUE if self.code is None else self.code.cue_of(self.field)

    def messages(self, held: str) -> tuple[Message, ...]:
        """The messages with the field at ``held``; the last segment is the question."""
        family = self.instance.family
        if self.code is not None:
            return lay_out(self.code, self._content(held), replace(self.instance.style, field_late=False))
        body = _BODIES[self.template](family, self.chosen, self.named, held, self.turn)
        role = Message("system", (Segment("system", family.role, "system"),))
        return role, Message("user", tuple(body))

    def _content(self, held: str) -> Content:
        """What fills a layout without a rule."""
        family, chosen = self.instance.family, self.chosen
        return Content(
            role=family.role,
            field=self.field,
            value=held,
            bystanders=chosen.bystanders,
            rule=(),
            before=(),
            after=(),
            tools="",
            request=family.request.format(id=chosen.record),
            menu=chosen.menu,
        )


def off_template(
    template: Template, family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]
) -> OffTemplate:
    """Draw an instance.

    Args:
        template: one of `TEMPLATES`.
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; the family's two ``values`` are drawn by family when None. The
            lookup's values are its two actions.
    """
    made = Recipe(**recipe)
    rng = stream(made.seed, "off template", family.name, index)
    chosen = draw(family, rng, 0, made.scenarios)
    turn = int(rng.integers(2))
    pair = value_pair(family, tokenizer, made.seed, made.values)
    named = pair if index % 2 == 0 else (pair[1], pair[0])
    copied = template == "lookup"
    instance = Instance(family, index, chosen, template, made.style, made.scenarios)
    return OffTemplate(
        template,
        instance,
        named,
        chosen.actions if copied else named,
        instance.layout.label(LOOKUP_FIELD) if copied else family.field,
        turn,
    )


def off_template_case(
    template: Template, family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]
) -> Case:
    """A field pair in another template; its ``wording`` is the template's name.

    Args:
        template: one of `TEMPLATES`.
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: see `off_template`; of its style only ``chat`` and ``thinking`` count.

    Raises:
        PkvError: the two prompts do not align.
    """
    made = off_template(template, family, index, tokenizer, **recipe)
    style, layout = made.instance.style, made.code
    clean, corrupt = (
        build(
            made.messages(held),
            Segment("decision", made.cue, "decision"),
            tokenizer,
            chat=style.chat and (layout is None or layout.chat),
            thinking=style.thinking,
        )
        for held in made.values
    )
    return paired(made.instance, "field", (clean, corrupt), tokenizer)
