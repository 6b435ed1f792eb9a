"""Prompts in which a field of a chosen conditioning strength changes: low, medium or high.

Low: nothing in the prompt depends on the field (a timestamp, an id). Medium: one soft rule names it and
changes no action. High: the family's own field, which its rule decides on. The changed line is always the
second of three session lines, so that in every class it lies equally far from what follows (after the field
classes of the blast radius protocol, arXiv 2606.17107).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Unpack

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt, Segment
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.cases import Case, paired
from pkv_interp.tasks.draws import draw
from pkv_interp.tasks.lay_out import lay_out
from pkv_interp.tasks.recipes import Instance, Recipe, RecipeOptions
from pkv_interp.tasks.scenarios import Family
from pkv_interp.tasks.session_fields import FLIPS, Flip, aligned_flips

FieldClass = Literal["low", "medium", "high"]
CLASSES: tuple[FieldClass, ...] = ("low", "medium", "high")


@dataclass(frozen=True)
class ClassCase:
    """A case (clean: the field's new value; corrupt: its old one) and what kind of change it is.

    In class high a semantic flip turns the conclusion and a minor one does not (neither value is the rule's
    trigger). In the other classes no flip turns it: minor is a near value, semantic a far one.
    """

    field_class: FieldClass
    field: str
    flip: Flip
    new: str
    old: str
    n_fillers: int
    case: Case


@dataclass(frozen=True)
class _Change:
    """What changes in the prompts of one instance.

    Attributes:
        field_class: of the field.
        field: its label.
        soft: the line before the rule: the soft rule, or in its place a filler.
        flips: by flip the new value, the old one and the rule's trigger.
        named: the values that a rule names which names two.
    """

    field_class: FieldClass
    field: str
    soft: str
    flips: dict[Flip, tuple[str, str, str]]
    named: tuple[str, str]


def class_cases(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    field_class: FieldClass,
    fillers: Sequence[int],
    flips: Sequence[Flip] = FLIPS,
    **recipe: Unpack[RecipeOptions],
) -> list[ClassCase]:
    """Minor and semantic flips of one instance, for every number of fillers in turn.

    All of them share record, bystanders, actions and values; shorter prompts hold the first fillers of longer
    ones. Families and instances take the wordings and the fields of a class in turn.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        field_class: how strongly the prompt depends on the field.
        fillers: numbers of fillers.
        flips: that are wanted. A rule that names both values has none of class high but the semantic one.
        recipe: the fields of a `Recipe`; its values, and of its style ``n_fillers`` and ``field_late``, are
            not used.

    Raises:
        PkvError: values that do not align under this tokenizer, or a layout without bystander lines.
    """
    made = Recipe(**recipe)
    style, scenarios = replace(made.style, field_late=False), made.scenarios.in_layout(made.style.layout)
    family = made.family(family)
    rng = made.rng(family, index, 3)
    turn = index + scenarios.position(family)
    wordings = made.wordings or tuple(scenarios.rules)
    chosen = draw(family, rng, max(fillers) + 1, scenarios)
    instance = Instance(family, index, chosen, wordings[turn % len(wordings)], style, scenarios)
    change = _drawn_change(instance, field_class, turn, rng, tokenizer, flips)
    instance = replace(instance, values=change.named)
    found: list[ClassCase] = []
    for n in fillers:
        fixed = replace(instance, chosen=replace(chosen, fillers=chosen.fillers[:n]))
        for flip in flips:
            new, old, trigger = change.flips[flip]
            prompts = (
                _prompt(fixed, change, new, trigger, tokenizer),
                _prompt(fixed, change, old, trigger, tokenizer),
            )
            case = paired(fixed, "field", prompts, tokenizer)
            found.append(ClassCase(field_class, change.field, flip, new, old, n, case))
    return found


def _drawn_change(
    instance: Instance,
    field_class: FieldClass,
    turn: int,
    rng: np.random.Generator,
    tokenizer: Any,
    flips: Sequence[Flip],
) -> _Change:
    """The field of the class whose turn it is, with its values; the last filler is the spare line."""
    family, spare = instance.family, instance.chosen.fillers[-1]
    values = _gate_values(family, rng, tokenizer, flips)
    named = values["semantic"][:2]
    if field_class == "high":
        return _Change(field_class, family.field, spare, values, named)
    if "{bystander_1}" not in instance.scenarios.layout(instance.style).state:
        raise PkvError(
            f"the layout '{instance.scenarios.layout(instance.style).name}' has no line for a second field",
            "choose one whose state has {bystander_1}",
        )
    fields = instance.scenarios.low if field_class == "low" else instance.scenarios.medium
    picked = fields[turn % len(fields)]
    new, olds = aligned_flips(picked, rng, tokenizer)
    soft = spare if picked.soft_rule is None else picked.soft_rule.format(value=new)
    trigger = values["semantic"][0]
    drawn: dict[Flip, tuple[str, str, str]] = {flip: (new, olds[flip], trigger) for flip in flips}
    return _Change(field_class, picked.name, soft, drawn, named)


def _gate_values(
    family: Family, rng: np.random.Generator, tokenizer: Any, flips: Sequence[Flip]
) -> dict[Flip, tuple[str, str, str]]:
    """By flip the family's new value, old value and trigger; the semantic one is always there."""
    pairs = aligned_values(family, tokenizer)
    orders = [pair if rng.integers(2) else pair[::-1] for pair in pairs]
    new, old = orders[int(rng.integers(len(orders)))]
    found: dict[Flip, tuple[str, str, str]] = {"semantic": (new, old, new)}
    if "minor" not in flips:
        return found
    quiet = [(a, b, t) for a, b in orders for t in family.values if t not in (a, b)]
    if not quiet:
        raise PkvError(
            f"family '{family.name}' has no flip that leaves its conclusion alone", "give it a third value"
        )
    return found | {"minor": quiet[int(rng.integers(len(quiet)))]}  # pyright: ignore[reportReturnType]


def _prompt(instance: Instance, change: _Change, value: str, trigger: str, tokenizer: Any) -> Prompt:
    first, second = instance.chosen.bystanders
    if change.field_class != "high":
        # Where another field changes, the gating one stands in the first line, at the rule's trigger.
        first = f"{instance.family.field}: {trigger}"
    content = instance.content(value=value, trigger=trigger)
    # One line before the rule: the soft rule, or in its place a filler, so that classes are equally long.
    kind, name = ("rule", "soft_rule") if change.field_class == "medium" else ("filler", None)
    content = replace(
        content,
        field=change.field,
        bystanders=(first, second),
        before=(*content.before, Segment(kind, change.soft, name)),
    )
    layout = instance.scenarios.layout(instance.style)
    return instance.prompt(lay_out(layout, content, instance.style), tokenizer)
