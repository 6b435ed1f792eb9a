"""Cases of the patching experiment."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pkv_interp.tasks import FAMILIES, Case, Style, families, field_case
from pkv_interp.tasks.anchors import site_anchors
from pkv_interp.tasks.twins import same_conclusion_twin
from pkv_interp.tasks.wordings import RULES

if TYPE_CHECKING:
    from experiments.patching import PatchingSettings

#: Size of the position sets that the headline speaks of.
HEADLINE_K = 8


@dataclass(frozen=True)
class Item:
    """A case, its same-conclusion twin, and what builds the case again in another style."""

    case: Case
    twin: Case
    build: Callable[[Style], Case]


def style_of(settings: "PatchingSettings", **changes: Any) -> Style:
    """The experiment's prompt layout, with changes."""
    plain = Style(n_fillers=settings.n_fillers, chat=settings.chat, thinking=settings.model.thinking)
    return replace(plain, **changes)


def build_items(settings: "PatchingSettings", tokenizer: Any) -> dict[str, list[Item]]:
    """Field cases that rank (``discovery``) and that are scored (``held_out``), of the same families.

    The j-th of both sides share a wording, so that their positions align; wordings go round over families.
    """
    chosen = families(settings.families or [family.name for family in FAMILIES])
    families(list(settings.values))  # a name that is no family is refused, not ignored
    wordings = list(RULES)
    items: dict[str, list[Item]] = {}
    for side, split in enumerate(("discovery", "held_out")):
        items[split] = []
        for at, family in enumerate(chosen):
            for j in range(settings.instances):
                index = side * settings.instances + j
                fixed: dict[str, Any] = {
                    "seed": settings.seed,
                    "wordings": (wordings[(at + j) % len(wordings)],),
                    "values": settings.values.get(family.name),
                }

                def build(
                    style: Style,
                    family: Any = family,
                    index: int = index,
                    fixed: Any = fixed,
                    split: str = split,
                ) -> Case:
                    return replace(field_case(family, index, tokenizer, style=style, **fixed), split=split)

                style = style_of(settings)
                case = build(style)
                twin = same_conclusion_twin(case, index, tokenizer, style=style, **fixed)
                items[split].append(Item(case, twin, build))
    return items


def anchors(case: Case) -> tuple[str, ...]:
    """Anchors of a case's notes, in order."""
    return site_anchors(case.clean, case.wording)[case.after_change : case.clean.decision]
