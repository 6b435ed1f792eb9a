"""Quads: two field values crossed with two triggers, so that field and conclusion vary apart.

Each conclusion is reached from both field values and each field value leads to both conclusions; a quad holds
polarity pairs and field pairs of one surface (protocol of arXiv 2606.17107, deep controls: 2 x 2 prompts).
"""

from dataclasses import dataclass, replace
from typing import Any, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.streams import stream
from pkv_interp.tasks.alignment import aligned_values, check_values
from pkv_interp.tasks.cases import Case, field_case
from pkv_interp.tasks.recipes import Recipe, RecipeOptions
from pkv_interp.tasks.scenarios import Family

_TRIES = 64
#: The cells in the order of ``Quad.prompts``: field value, then trigger (v and o are the two values).
CELLS = ("vv", "vo", "oo", "ov")
#: Whether the field equals the trigger in each cell.
CONCLUSIONS = (True, False, True, False)


@dataclass(frozen=True)
class Quad:
    """Four prompts of equal length and equal spans.

    Attributes:
        polarity: clean (v, v), corrupt (v, o): the trigger flips.
        opposite: clean (o, o), corrupt (o, v): the same with the other field value.
        field: clean (v, v), corrupt (o, v): the field flips.
        values: v and o.
        fields: of each cell, whether its field holds the family's first value (whatever v is).
    """

    polarity: Case
    opposite: Case
    field: Case
    values: tuple[str, str]
    fields: tuple[bool, bool, bool, bool]

    @property
    def family(self) -> str:
        """Name of the scenario family."""
        return self.field.family

    @property
    def instance(self) -> str:
        """Name of the instance, shared by its pairs."""
        return self.field.instance

    @property
    def prompts(self) -> tuple[Prompt, Prompt, Prompt, Prompt]:
        """The prompts of `CELLS`, in that order."""
        return self.polarity.clean, self.polarity.corrupt, self.opposite.clean, self.opposite.corrupt


def value_pair(
    family: Family, tokenizer: Any, seed: int, values: tuple[str, str] | None = None
) -> tuple[str, str]:
    """Two values of one token length, the same for all instances of the family: drawn, or as given.

    Raises:
        PkvError: the family has no such values, or the given ones differ in length.
    """
    if values is not None:
        check_values(family, values, tokenizer)
        return values
    pairs = aligned_values(family, tokenizer)
    return pairs[int(stream(seed, "values of a quad", family.name).integers(len(pairs)))]


def quad(family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Quad:
    """The quad of one instance; v is the family's first value on even indices and the second on odd ones.

    Args:
        family: one of the recipe's scenarios.
        index: of the instance in its family.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: the fields of a `Recipe`; its ``values`` are drawn by family when None.

    Raises:
        PkvError: the four prompts do not align.
    """
    family = Recipe(**recipe).family(family)
    pair = value_pair(family, tokenizer, recipe["seed"], recipe.get("values"))
    v, o = pair if index % 2 == 0 else pair[::-1]
    recipe["values"] = (v, o)
    first = field_case(family, index, tokenizer, **recipe)
    recipe["values"] = (o, v)
    second = field_case(family, index, tokenizer, **recipe)
    if len(first.clean) != len(second.clean) or first.clean.spans != second.clean.spans:
        raise PkvError(
            f"the four prompts of '{family.name}' do not align under this tokenizer",
            "choose values that tokenise to one length in the field and in the rule",
        )
    holds = tuple(value == pair[0] for value in (v, v, o, o))
    return Quad(
        replace(first, changed="trigger", corrupt=second.corrupt),
        replace(second, changed="trigger", corrupt=first.corrupt),
        first,
        (v, o),
        (holds[0], holds[1], holds[2], holds[3]),
    )


def quad_twin(
    mine: Quad, family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]
) -> Quad:
    """The quad about another record with other bystander fields, aligned with ``mine`` by token.

    Values, rule, fillers, action order and menu are those of ``mine``: a cell of the twin reaches the
    conclusion of the same cell of ``mine`` on another surface.

    Args:
        mine: the quad.
        family: its family.
        index: its index.
        tokenizer: a fast Hugging Face tokenizer.
        recipe: what ``mine`` was built with (`quad`).

    Raises:
        PkvError: no redraw has the length and spans of ``mine``.
    """
    for redraw in range(1, _TRIES + 1):
        recipe["redraw"] = redraw
        twin = quad(family, index, tokenizer, **recipe)
        same = (
            len(twin.field.clean) == len(mine.field.clean)
            and twin.field.clean.spans == mine.field.clean.spans
        )
        if same and twin.instance != mine.instance:
            return twin
    raise PkvError(
        f"no same-conclusion twin of '{mine.instance}' has its length under this tokenizer",
        "choose another seed",
    )
