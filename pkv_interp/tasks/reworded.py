"""Field pairs whose action words are exchanged in the rule, or are others of equal length.

What a cached prefix tells the decision may be a place ("the word after *then*") or a word ("*cancel*"). In a
donor with other words at the same places the two part, while everything else stays byte for byte.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.streams import stream
from pkv_interp.tasks.cases import Case, field_instance, paired
from pkv_interp.tasks.recipes import Instance, RecipeOptions
from pkv_interp.tasks.scenarios import Family, default_scenarios


@dataclass(frozen=True)
class Reworded:
    """A field pair with its reworded twins, all of one length with equal spans.

    Attributes:
        case: the pair itself: on a match the rule calls for ``case.actions[0]``.
        swapped: the rule calls for ``case.actions[1]`` on a match and for the other else; the menu stays.
            None where the two words do not take equally many tokens in the rule.
        renamed: rule and menu name two other actions, ``renamed.actions``. None where the scenarios have no
            two others that take as many tokens.
    """

    case: Case
    swapped: Case | None
    renamed: Case | None

    @property
    def instance(self) -> str:
        """The pair's name."""
        return self.case.instance

    @property
    def wording(self) -> str:
        """The pair's wording of the rule."""
        return self.case.wording


def reworded(family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Reworded:
    """The field pair of an instance (that of `field_case`) with its reworded twins.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; ``seed`` must be given.

    Raises:
        PkvError: the pair's own prompts do not align, or an action is not one token after them.
    """
    instance, sides = field_instance(family, index, tokenizer, **recipe)
    case = _field_pair(instance, sides, tokenizer)
    act, default = instance.chosen.actions
    exchanged = replace(instance, chosen=replace(instance.chosen, actions=(default, act)))
    known = recipe.get("scenarios") or default_scenarios()
    renamed = (
        _aligned(twin, sides, case, tokenizer) for twin in _renamed(instance, known.families, recipe["seed"])
    )
    return Reworded(
        case,
        _aligned(exchanged, sides, case, tokenizer),
        next((twin for twin in renamed if twin is not None and _others(twin, case)), None),
    )


def _field_pair(instance: Instance, sides: tuple[str, str], tokenizer: Any) -> Case:
    clean, corrupt = (
        instance.prompt(instance.messages(value=value, trigger=sides[0]), tokenizer) for value in sides
    )
    return paired(instance, "field", (clean, corrupt), tokenizer)


def _aligned(twin: Instance, sides: tuple[str, str], like: Case, tokenizer: Any) -> Case | None:
    """The twin's pair where it has the length and spans of ``like``."""
    try:
        found = _field_pair(twin, sides, tokenizer)
    except PkvError:  # of its words, one is not one token after the prompt
        return None
    alike = len(found.clean) == len(like.clean) and found.clean.spans == like.clean.spans
    return found if alike and found.clean.kinds == like.clean.kinds else None


def _others(twin: Case, case: Case) -> bool:
    """Whether the twin's actions are read off other tokens than the case's."""
    return not set(twin.action_ids) & set(case.action_ids)


def _renamed(instance: Instance, families: Sequence[Family], seed: int) -> Iterator[Instance]:
    """The instance with the actions of each other family, in random order and turned either way."""
    mine = {word.strip() for word in instance.chosen.actions}
    pairs = sorted({tuple(sorted(family.actions)) for family in families})
    others = [pair for pair in pairs if not mine & {word.strip() for word in pair}]
    rng = stream(seed, "other actions", instance.name)
    act_first = instance.chosen.menu == instance.chosen.actions
    for at in rng.permutation(len(others)).tolist():
        for first, second in (others[at], others[at][::-1]):
            menu = (first, second) if act_first else (second, first)
            yield replace(instance, chosen=replace(instance.chosen, actions=(first, second), menu=menu))
