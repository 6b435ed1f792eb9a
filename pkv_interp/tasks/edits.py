"""Edit tasks: a prompt with named fields, a change of one, and the action called for before and after.

The prompts are those of the field pairs (same draws, so positions agree); what is new is that the bystander
fields are fields as well, that a stale conclusion can be planted, and that either side can be the old one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.tasks.cases import Style, drawn_values, messages
from pkv_interp.tasks.draws import BYSTANDER_VALUES, draw, stable_seed
from pkv_interp.tasks.families import Family, split_of
from pkv_interp.tasks.off_template import off_template
from pkv_interp.tasks.wordings import PLANTED, RULES

PLAIN = Style()


@dataclass(frozen=True)
class EditTask:
    """One prompt and one change.

    Attributes:
        messages: up to the end of what is cached; field segments carry their label as name.
        question: what is asked behind it.
        field: label of the field that decides.
        old: its value in the messages.
        new: the value it changes to.
        bystanders: other fields, label to (value in the messages, another value of one kind).
        actions: the two decision words, the rule's action first.
        old_action: called for by the old value.
        new_action: called for by the new value.
        matches: the new value is the rule's trigger.
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


def edit_task(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    seed: int,
    matches: bool,
    style: Style = PLAIN,
    wordings: Sequence[str] = tuple(RULES),
    values: tuple[str, str] | None = None,
    planted: bool = False,
) -> EditTask:
    """The edit between the two sides of the field pair that ``field_case`` makes of the same arguments.

    Args:
        matches: whether the new value is the trigger (the pair's clean side) or the other one.
        planted: put a line that states the old action into the conversation.

    Raises:
        PkvError: see ``drawn_values``.
    """
    rng = np.random.default_rng([seed, index, stable_seed(family.name)])
    value, other = drawn_values(family, rng, tokenizer, values)
    chosen = draw(family, rng, style.n_fillers)
    wording = wordings[index % len(wordings)]
    old, new = (other, value) if matches else (value, other)
    act, otherwise = chosen.actions
    old_action, new_action = (otherwise, act) if matches else (act, otherwise)
    made = messages(family, chosen, value=old, trigger=value, wording=wording, style=style)
    *before, user = made
    *body, question = user.segments
    if planted:
        line = PLANTED.format(action=old_action)
        body.append(Segment("conversation", f"{line}\n", "planted"))
    lines = [line.split(": ") for line in chosen.bystanders]
    return EditTask(
        family.name,
        split_of(family.name),
        f"{family.name}-{index}-{chosen.record}-{'to' if matches else 'from'}",
        wording,
        (*before, Message(user.role, tuple(_named(body, family.field, lines)))),
        question.text,
        family.field,
        old,
        new,
        {name: (held, _another(name, held, rng)) for name, held in lines},
        chosen.actions,
        old_action,
        new_action,
        matches,
    )


def lookup_task(family: Family, index: int, tokenizer: Any, *, seed: int, matches: bool) -> EditTask:
    """An edit of a value that is only read back: the field is itself the answer, and no rule depends on it.

    Args:
        matches: whether the new value is the first action.
    """
    made = off_template("lookup", family, index, tokenizer, seed=seed)
    first, second = made.values
    old, new = (second, first) if matches else (first, second)
    *before, user = made.messages(old)
    *body, question = user.segments
    lines = [line.split(": ") for line in made.chosen.bystanders]
    rng = np.random.default_rng([seed, 43, index, stable_seed(family.name)])
    return EditTask(
        family.name,
        split_of(family.name),
        f"{family.name}-{index}-{made.chosen.record}-{'to' if matches else 'from'}",
        "lookup",
        (*before, Message(user.role, tuple(_named(body, made.field, lines)))),
        question.text,
        made.field,
        old,
        new,
        {name: (held, _another(name, held, rng)) for name, held in lines},
        made.chosen.actions,
        old,
        new,
        matches,
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


def _another(name: str, held: str, rng: np.random.Generator) -> str:
    """Another value of a bystander field."""
    others = [value for value in BYSTANDER_VALUES[name] if value != held]
    return others[int(rng.integers(len(others)))]
