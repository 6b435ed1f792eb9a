"""Field pairs outside the scenario template: two hops, conversational words, near-verbatim lookup.

In the lookup the field is itself the answer, so a decision can copy it (arXiv 2606.17107, off-template
generality). Fields, values and actions are those of the scenario families.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from pkv_interp.tasks.cases import CUE, Case, Style, paired
from pkv_interp.tasks.draws import Draw, draw, stable_seed
from pkv_interp.tasks.families import Family
from pkv_interp.tasks.quads import value_pair
from pkv_interp.tasks.segments import Message, Segment, build

Template = Literal["multi_hop", "conversational", "lookup"]
TEMPLATES: tuple[Template, ...] = ("multi_hop", "conversational", "lookup")
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
        Segment("session", f"Record {chosen.record}\n{chosen.bystanders[0]}\nassigned action: "),
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


def off_template_case(
    template: Template,
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    seed: int,
    style: Style,
    values: tuple[str, str] | None = None,
) -> Case:
    """A field pair in another template; its ``wording`` is the template's name.

    Args:
        style: only ``chat`` and ``thinking`` count.
        values: the family's two values; drawn by family when None. The lookup's values are its two actions.

    Raises:
        PkvError: the two prompts do not align.
    """
    rng = np.random.default_rng([seed, 42, index, stable_seed(family.name)])
    chosen = draw(family, rng, 0)
    turn = int(rng.integers(2))
    pair = value_pair(family, tokenizer, seed, values)
    named = pair if index % 2 == 0 else pair[::-1]
    sides = chosen.actions if template == "lookup" else named
    clean, corrupt = (
        build(
            [
                Message("system", (Segment("system", family.role, "system"),)),
                Message("user", tuple(_BODIES[template](family, chosen, named, held, turn))),
            ],
            Segment("decision", CUE, "decision"),
            tokenizer,
            chat=style.chat,
            thinking=style.thinking,
        )
        for held in sides
    )
    return paired(family, index, "field", clean, corrupt, chosen, template, tokenizer)
