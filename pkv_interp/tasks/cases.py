"""Cases: aligned pairs of prompts that differ in one span, with the action each one calls for.

A *polarity pair* keeps the field byte for byte and flips the rule's trigger, so only the conclusion changes;
a *field pair* keeps the rule and flips the field (protocol of arXiv 2606.17107, deep controls and patching).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks.layouts import CUE, REASON_CUE, THINK_CUE, Style
from pkv_interp.tasks.recipes import Instance, Recipe, RecipeOptions, drawn_values
from pkv_interp.tasks.scenarios import Family

__all__ = [
    "CUE",
    "REASON_CUE",
    "THINK_CUE",
    "Case",
    "Style",
    "field_case",
    "field_instance",
    "paired",
    "polarity_case",
]


@dataclass(frozen=True)
class Case:
    """One instance: two prompts of equal length that differ in one span.

    Attributes:
        action_ids: token ids; the margin is ``logit[action_ids[0]] - logit[action_ids[1]]``, positive on
            clean.
        changed: name of the span in which clean and corrupt differ (``"trigger"`` or ``"field"``; in a
            pair of a researcher's own ``"change"``, which has no other named span but the decision).
    """

    family: str
    split: str
    instance: str
    wording: str
    changed: str
    clean: Prompt
    corrupt: Prompt
    actions: tuple[str, str]
    action_ids: tuple[int, int]

    @property
    def change(self) -> tuple[int, int]:
        """The half-open token span in which clean and corrupt differ."""
        return self.clean.spans[self.changed]

    @property
    def after_change(self) -> int:
        """First position after the changed span: where notes can start."""
        return self.change[1]


def polarity_case(family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Case:
    """Clean: the trigger is the field's value. Corrupt: another value; the field is untouched.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; ``seed`` must be given.

    Raises:
        PkvError: the prompts do not align, or an action is not one token after them.
    """
    made = Recipe(**recipe)
    family = made.family(family)
    rng = made.rng(family, index)
    value, other = drawn_values(family, rng, tokenizer, made.values)
    instance = made.instance(family, index, rng, (value, other))
    return _case(instance, "trigger", ((value, value), (value, other)), tokenizer)


def field_case(family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Case:
    """Clean: the field has the rule's trigger as its value. Corrupt: another value; the rule is untouched.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; ``seed`` must be given.

    Raises:
        PkvError: the prompts do not align, or an action is not one token after them.
    """
    instance, (value, other) = field_instance(family, index, tokenizer, **recipe)
    return _case(instance, "field", ((value, value), (other, value)), tokenizer)


def field_instance(
    family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]
) -> tuple[Instance, tuple[str, str]]:
    """The instance of a field case, and the field's values on its clean and on its corrupt side.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; ``seed`` must be given.

    Raises:
        PkvError: see ``drawn_values``.
    """
    made = Recipe(**recipe)
    family = made.family(family)
    rng = made.rng(family, index)
    values = drawn_values(family, rng, tokenizer, made.values)
    return made.instance(family, index, rng, values), values


def _case(instance: Instance, changed: str, sides: Sequence[tuple[str, str]], tokenizer: Any) -> Case:
    """The case whose clean and corrupt prompts have the given (value, trigger)."""
    clean, corrupt = (
        instance.prompt(instance.messages(value=value, trigger=trigger), tokenizer)
        for value, trigger in sides
    )
    return paired(instance, changed, (clean, corrupt), tokenizer)


def paired(instance: Instance, changed: str, prompts: tuple[Prompt, Prompt], tokenizer: Any) -> Case:
    """The case of two prompts, clean and corrupt, that differ in the span ``changed``.

    Raises:
        PkvError: they do not align token by token, or an action is not one token after them.
    """
    clean, corrupt = prompts
    family = instance.family
    if len(clean) != len(corrupt) or clean.spans != corrupt.spans:
        raise PkvError(
            f"the two prompts of '{family.name}' do not align ({len(clean)} and {len(corrupt)} tokens)",
            f"choose values that tokenise to one length in the {changed} span",
        )
    return Case(
        family.name,
        family.split,
        instance.name,
        instance.wording,
        changed,
        clean,
        corrupt,
        instance.chosen.actions,
        action_ids(
            clean,
            instance.chosen.actions,
            tokenizer,
            before=instance.layout.before_answer,
            first_token=instance.layout.first_token,
        ),
    )
