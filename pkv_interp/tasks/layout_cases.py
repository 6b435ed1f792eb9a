"""Pairs of prompts by layout, of discovery families alone: what a layout is chosen on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, Unpack

from pkv_interp.errors import PkvError
from pkv_interp.names import PairKind
from pkv_interp.tasks.cases import Case, field_case, polarity_case
from pkv_interp.tasks.layouts import Layout, Style
from pkv_interp.tasks.recipes import Recipe, RecipeOptions
from pkv_interp.tasks.scenarios import Family

#: The only split that a layout is chosen on.
SPLIT = "discovery"
#: Whether the field stands before the rule or after it. Notes after an early field are another matter than
#: notes after a late one, so that a layout of each is chosen.
Order = Literal["early", "late"]
_CASES = {"field": field_case, "polarity": polarity_case}


@dataclass(frozen=True)
class LayoutCase:
    """A pair of prompts in one layout, before a model has seen it.

    Attributes:
        layout: name of the layout.
        order: whether the field stands before the rule or after it.
        family: a discovery family.
        index: of the instance in its family.
        kind: whether the field flips or the rule's trigger.
        case: the pair; None where none could be made under the tokenizer.
        problem: why not, None where one was.
    """

    layout: str
    order: Order
    family: str
    index: int
    kind: PairKind
    case: Case | None
    problem: str | None = None

    @property
    def instance(self) -> str:
        """Its name, unique in a run."""
        return f"{self.layout}/{self.kind}/{self.family}-{self.index}"


def layout_cases(
    tokenizer: Any,
    layouts: Sequence[str],
    *,
    families: Sequence[str] | None = None,
    instances: int = 1,
    kinds: Sequence[PairKind] = ("field", "polarity"),
    **recipe: Unpack[RecipeOptions],
) -> list[LayoutCase]:
    """Pairs of discovery families in every layout.

    Args:
        tokenizer: of the model.
        layouts: names of layouts.
        families: names of discovery families; None for all.
        instances: pairs per family, kind and layout.
        kinds: kinds of pairs.
        recipe: how prompts are made but for the layout; of its scenarios the discovery families are used, and
            no others.

    Raises:
        PkvError: a layout is unknown, a family is of another split, or there is no discovery family.
    """
    made = Recipe(**recipe)
    scenarios = made.scenarios
    chosen = scenarios.split(SPLIT) if families is None else scenarios.choose(families)
    stray = next((family.name for family in chosen if family.split != SPLIT), None)
    if stray is not None:
        raise PkvError(f"family '{stray}' is not of the split '{SPLIT}'", "a layout is chosen on that alone")
    if not chosen:
        raise PkvError(
            f"{scenarios.source} has no family of the split '{SPLIT}'",
            "a layout is chosen on that split alone",
        )
    styles = {name: replace(made.style, layout=name) for name in layouts}
    orders: dict[str, Order] = {
        name: order_of(scenarios.layout(style), style) for name, style in styles.items()
    }
    out: list[LayoutCase] = []
    for name, kind, family, index in product(layouts, kinds, chosen, range(instances)):
        recipe["style"] = styles[name]
        case, problem = _case(kind, family, index, tokenizer, recipe)
        out.append(LayoutCase(name, orders[name], family.name, index, kind, case, problem))
    return out


def order_of(layout: Layout, style: Style) -> Order:
    """Whether a layout has the field before the rule or after it."""
    blocks = layout.ordered(style.field_late)
    return "early" if blocks.index("state") < blocks.index("rule") else "late"


def _case(
    kind: PairKind, family: Family, index: int, tokenizer: Any, recipe: RecipeOptions
) -> tuple[Case | None, str | None]:
    """A pair, or why there is none."""
    try:
        return _CASES[kind](family, index, tokenizer, **recipe), None
    except PkvError as error:
        return None, error.cause
