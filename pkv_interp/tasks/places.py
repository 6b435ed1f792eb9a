"""Field pairs whose block with the field stands at one of five places, from the first to the last."""

import re
from dataclasses import replace
from typing import Any, Literal, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.tasks.cases import Case, field_instance, paired
from pkv_interp.tasks.lay_out import lay_out
from pkv_interp.tasks.layouts import Content, Layout, Style
from pkv_interp.tasks.recipes import RecipeOptions
from pkv_interp.tasks.scenarios import Family

#: Before everything; among the neutral sentences before the rule; right before and right after the rule;
#: after all but the block that asks.
Place = Literal["first", "among_fillers", "before_rule", "after_rule", "last"]
PLACES: tuple[Place, ...] = ("first", "among_fillers", "before_rule", "after_rule", "last")

#: Neutral sentences that a prompt needs to have one of them before and one after each place.
LEAST_FILLERS = 4
#: A rule's block whose statement and sentences start lines.
_LINES = re.compile(r"(?:^|\n)\{before\}\{rule\}\n\{after\}")


def can_move(layout: Layout) -> bool:
    """Whether the block with the field can stand anywhere in a layout.

    It cannot where the block that comes first opens a fence or a brace, where blocks are messages, or where
    the rule and the sentences around it share a line.
    """
    return layout.swaps and layout.reply is None and _LINES.search(layout.rule) is not None


def field_case_at(
    place: Place, family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]
) -> Case:
    """As `field_case`, with the block of the field at a place; nothing else differs between places.

    Args:
        place: of the block.
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`.

    Raises:
        PkvError: the layout's blocks cannot move, there are too few neutral sentences, the prompts do not
            align, or an action is not one token after them.
    """
    instance, (value, other) = field_instance(family, index, tokenizer, **recipe)
    layout = instance.layout
    if not can_move(layout):
        raise PkvError(f"the field cannot move in the layout '{layout.name}'", "choose another layout")
    if instance.style.n_fillers < LEAST_FILLERS:
        raise PkvError(
            f"the field has no five places among {instance.style.n_fillers} neutral sentences",
            f"give n_fillers of {LEAST_FILLERS} or more",
        )
    clean, corrupt = (
        instance.prompt(
            _messages(place, layout, instance.content(value=v, trigger=value), instance.style),
            tokenizer,
        )
        for v in (value, other)
    )
    return paired(instance, "field", (clean, corrupt), tokenizer)


def _messages(place: Place, layout: Layout, content: Content, style: Style) -> tuple[Message, ...]:
    plain = replace(style, field_late=False)
    system, ask = lay_out(replace(layout, order=("ask",)), content, plain)

    def block(name: str) -> tuple[Segment, ...]:
        """A block with its end, as it stands before the one that asks; nothing where the layout has none."""
        if name not in layout.order:
            return ()
        _, message = lay_out(replace(layout, order=(name, "ask")), content, plain)
        return message.segments[: -len(ask.segments)]

    state, rule, tools = (block(name) for name in ("state", "rule", "tools"))
    if place == "last":
        return system, Message("user", (*rule, *tools, *state, *ask.segments))
    at = _cut(place, [segment.name for segment in rule])
    return system, Message("user", (*rule[:at], *state, *rule[at:], *tools, *ask.segments))


def _cut(place: Place, names: list[str | None]) -> int:
    """How many segments of the rule's block stand before the field."""
    before = [at for at, name in enumerate(names) if name == "fillers_before"]
    after = [at for at, name in enumerate(names) if name == "fillers"]
    match place:
        case "among_fillers":
            return before[len(before) // 2]
        case "before_rule":
            return before[-1] + 1
        case "after_rule":
            return after[0]
        case _:
            return 0
