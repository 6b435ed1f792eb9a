"""Edit tasks: a prompt with named fields, a change of one, and the action called for before and after.

The prompts are those of the field pairs (same draws, so positions agree); what is new is that the bystander
fields are fields as well, that a stale conclusion can be planted, and that either side can be the old one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.notation import PROSE, Notation
from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.streams import stream
from pkv_interp.tasks.layouts import CUE
from pkv_interp.tasks.off_template import off_template
from pkv_interp.tasks.recipes import Instance, Recipe, RecipeOptions, drawn_values
from pkv_interp.tasks.scenarios import Family


@dataclass(frozen=True)
class EditTask:
    """One prompt and one change.

    Attributes:
        messages: up to the end of what is cached; field segments carry their label as name.
        question: what is asked after it.
        field: label of the field that decides.
        old: its value in the messages.
        new: the value it changes to.
        bystanders: other fields, label to (value in the messages, another value of one kind).
        actions: the two decision words, the rule's action first.
        old_action: called for by the old value.
        new_action: called for by the new value.
        matches: the new value is the rule's trigger.
        cue: opens the answer, where the layout has a cue of its own; None is the style's.
        chat: the layout leaves the chat template to the style.
        notation: how the layout writes errata and answers.
    """

    family: str
    split: str
    instance: str
    wording: str
    messages: tuple[Message, ...]
    question: str
    field: str
    old: str
    new: str
    bystanders: dict[str, tuple[str, str]]
    actions: tuple[str, str]
    old_action: str
    new_action: str
    matches: bool
    cue: str | None = None
    chat: bool = True
    notation: Notation = PROSE


def edit_task(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    matches: bool,
    planted: bool = False,
    **recipe: Unpack[RecipeOptions],
) -> EditTask:
    """The edit between the two sides of the field pair that ``field_case`` makes of the same arguments.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        matches: whether the new value is the trigger (the pair's clean side) or the other one.
        planted: put a line that states the old action into the conversation.
        recipe: the fields of a `Recipe`.

    Raises:
        PkvError: see ``drawn_values``.
    """
    made = Recipe(**recipe)
    family = made.family(family)
    rng = made.rng(family, index)
    value, other = drawn_values(family, rng, tokenizer, made.values)
    instance = made.instance(family, index, rng, (value, other))
    old, new = (other, value) if matches else (value, other)
    act, otherwise = instance.chosen.actions
    actions = (otherwise, act) if matches else (act, otherwise)
    messages = instance.messages(value=old, trigger=value)
    line = made.scenarios.planted.format(action=actions[0]) if planted else None
    shown = _Shown(instance, family.field, messages, instance.layout.cue_of(family.field), line)
    return _task(shown, (old, new), actions, matches, rng)


def lookup_task(
    family: Family, index: int, tokenizer: Any, *, matches: bool, **recipe: Unpack[RecipeOptions]
) -> EditTask:
    """An edit of a value that is only read back: the field is itself the answer, and no rule depends on it.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        matches: whether the new value is the first action.
        recipe: the fields of a `Recipe`.

    Raises:
        PkvError: the layout is code and has no such prompt.
    """
    made = off_template("lookup", family, index, tokenizer, **recipe)
    layout = made.instance.layout
    if layout.is_code and made.code is None:
        raise PkvError(f"the layout '{layout.name}' reads no field back", "give it a read_back")
    first, second = made.values
    old, new = (second, first) if matches else (first, second)
    rng = stream(recipe["seed"], "edit", family.name, index)
    shown = _Shown(made.instance, made.field, made.messages(old), made.cue)
    return _task(shown, (old, new), (old, new), matches, rng)


@dataclass(frozen=True)
class _Shown:
    """An instance's messages at the old value, the cue, and a line to plant before the question."""

    instance: Instance
    field: str
    messages: tuple[Message, ...]
    cue: str
    planted: str | None = None


def _task(
    shown: _Shown,
    values: tuple[str, str],
    actions: tuple[str, str],
    matches: bool,
    rng: np.random.Generator,
) -> EditTask:
    """The task of old and new value and of the actions that they call for."""
    instance = shown.instance
    *before, user = shown.messages
    *body, question = user.segments
    layout = instance.layout
    if shown.planted is not None:
        body.append(Segment("conversation", f"{layout.notation.said(shown.planted)}\n", "planted"))
    lines = [line.split(": ") for line in instance.chosen.bystanders]
    earlier = [replace(m, segments=tuple(_named(m.segments, shown.field, lines))) for m in before]
    bystanders = instance.scenarios.bystanders
    return EditTask(
        instance.family.name,
        instance.family.split,
        f"{instance.name}-{'to' if matches else 'from'}",
        instance.wording,
        (*earlier, Message(user.role, tuple(_named(body, shown.field, lines)))),
        question.text,
        shown.field,
        *values,
        {name: (held, _another(bystanders[name], held, rng)) for name, held in lines},
        instance.chosen.actions,
        *actions,
        matches,
        None if shown.cue == CUE else shown.cue,
        layout.chat,
        layout.notation,
    )


def _named(segments: Sequence[Segment], field: str, bystanders: Sequence[Sequence[str]]) -> list[Segment]:
    """The segments with each field's value in a segment of its own that carries the field's label."""
    out: list[Segment] = []
    for segment in segments:
        if segment.name == "field":
            out.append(replace(segment, name=field))
            continue
        rest = segment.text
        for name, value in bystanders:
            at = rest.find(f"{name}: {value}") if segment.kind == "session" else -1
            if at >= 0:
                cut = at + len(name) + 2
                out += [replace(segment, text=rest[:cut]), Segment("field", value, name)]
                rest = rest[cut + len(value) :]
        if rest:
            out.append(replace(segment, text=rest))
    return out


def _another(values: Sequence[str], held: str, rng: np.random.Generator) -> str:
    """Another value of a bystander field."""
    others = [value for value in values if value != held]
    return others[int(rng.integers(len(others)))]
