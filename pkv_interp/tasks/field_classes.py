"""Prompts in which a field of a chosen conditioning strength changes: low, medium or high.

Low: nothing in the prompt depends on the field (a timestamp, an id). Medium: one soft rule names it and
changes no action. High: the family's own field, which its rule decides on. The changed line is always the
second of three session lines, so that in every class it lies equally far from what follows (after the field
classes of the blast radius protocol, arXiv 2606.17107).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.cases import CUE, Case, Style, messages
from pkv_interp.tasks.draws import Draw, draw, stable_seed
from pkv_interp.tasks.families import FAMILIES, Family, split_of
from pkv_interp.tasks.session_fields import FLIPS, LOW, MEDIUM, Flip, aligned_flips
from pkv_interp.tasks.wordings import RULES

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


def class_cases(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    field_class: FieldClass,
    fillers: Sequence[int],
    seed: int,
    style: Style,
) -> list[ClassCase]:
    """Minor and semantic flips of one instance, for every number of fillers in turn.

    All of them share record, bystanders, actions and values; shorter prompts hold the first fillers of longer
    ones. Families and instances take the wordings and the fields of a class in turn.

    Args:
        style: its ``n_fillers`` and ``field_late`` are not used.

    Raises:
        PkvError: values that do not align under this tokenizer.
    """
    rng = np.random.default_rng([seed, index, stable_seed(family.name), 3])
    turn = index + [f.name for f in FAMILIES].index(family.name)
    wording = list(RULES)[turn % len(RULES)]
    chosen = draw(family, rng, max(fillers) + 1)
    spare = chosen.fillers[-1]
    values = _gate_values(family, rng, tokenizer)
    if field_class == "high":
        field, soft = family.field, spare
        flips = values
    else:
        fields = LOW if field_class == "low" else MEDIUM
        picked = fields[turn % len(fields)]
        new, olds = aligned_flips(picked, rng, tokenizer)
        field = picked.name
        soft = spare if picked.soft_rule is None else picked.soft_rule.format(value=new)
        trigger = values["semantic"][0]
        flips = {flip: (new, olds[flip], trigger) for flip in FLIPS}
    found: list[ClassCase] = []
    for n in fillers:
        fixed = replace(chosen, fillers=chosen.fillers[:n])
        for flip in FLIPS:
            new, old, trigger = flips[flip]
            prompts = [
                _prompt(family, fixed, field_class, field, value, trigger, soft, wording, style, tokenizer)
                for value in (new, old)
            ]
            case = _aligned(family, index, wording, prompts, fixed, tokenizer)
            found.append(ClassCase(field_class, field, flip, new, old, n, case))
    return found


def _gate_values(
    family: Family, rng: np.random.Generator, tokenizer: Any
) -> dict[Flip, tuple[str, str, str]]:
    """By flip the family's new value, old value and trigger."""
    pairs = aligned_values(family, tokenizer)
    orders = [pair if rng.integers(2) else pair[::-1] for pair in pairs]
    new, old = orders[int(rng.integers(len(orders)))]
    quiet = [(a, b, t) for a, b in orders for t in family.values if t not in (a, b)]
    if not quiet:
        raise PkvError(
            f"family '{family.name}' has no flip that leaves its conclusion alone", "give it a third value"
        )
    return {"minor": quiet[int(rng.integers(len(quiet)))], "semantic": (new, old, new)}


def _prompt(
    family: Family,
    chosen: Draw,
    field_class: FieldClass,
    field: str,
    value: str,
    trigger: str,
    soft: str,
    wording: str,
    style: Style,
    tokenizer: Any,
) -> Prompt:
    # Where another field changes, the gating one stands in the first line, at the rule's trigger.
    first = chosen.bystanders[0] if field_class == "high" else f"{family.field}: {trigger}"
    session = (
        Segment("session", f"Session\n{first}\n{field}: "),
        Segment("field", value, "field"),
        Segment("session", f"\n{chosen.bystanders[1]}\n\n"),
    )
    system, user = messages(
        family, chosen, value=value, trigger=trigger, wording=wording, style=replace(style, field_late=False)
    )
    rest = [segment for segment in user.segments if segment.kind not in ("session", "field")]
    # One line before the rule: the soft rule, or in its place a filler, so that classes are equally long.
    at = 1 + sum(segment.name == "fillers_before" for segment in rest)
    kind, name = ("rule", "soft_rule") if field_class == "medium" else ("filler", None)
    line = Segment(kind, f"{soft}\n", name)
    body = Message("user", (*session, *rest[:at], line, *rest[at:]))
    cue = Segment("decision", CUE, "decision")
    return build((system, body), cue, tokenizer, chat=style.chat, thinking=style.thinking)


def _aligned(
    family: Family, index: int, wording: str, prompts: Sequence[Prompt], chosen: Draw, tokenizer: Any
) -> Case:
    clean, corrupt = prompts
    if len(clean) != len(corrupt) or clean.spans != corrupt.spans:
        raise PkvError(
            f"the two prompts of '{family.name}' do not align ({len(clean)} and {len(corrupt)} tokens)",
            "choose values that tokenise to one length in the field span",
        )
    return Case(
        family.name,
        split_of(family.name),
        f"{family.name}-{index}-{chosen.record}",
        wording,
        "field",
        clean,
        corrupt,
        chosen.actions,
        action_ids(clean, chosen.actions, tokenizer),
    )
