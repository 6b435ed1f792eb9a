"""What happens to fields after a prompt has stated them: events, and the lines that report them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pkv_interp.training import event_wordings as wordings
from pkv_interp.training.draws import filler, pick, upper
from pkv_interp.training.rules import Rule, other_field, other_value

Kind = Literal["plain", "late", "update", "several", "reverted", "other_update"]


@dataclass(frozen=True)
class Event:
    """A field gets a value.

    Attributes:
        text: the line that says so.
        value: of the rule's own field from here on.
    """

    text: str
    value: str


def events(
    rng: np.random.Generator,
    kind: Kind,
    rule: Rule,
    value: str,
    known: Sequence[str],
    breadth: float,
) -> list[Event]:
    """The events of one example, in order; the last one about the rule's field holds.

    Args:
        rng: draws them; as often for one side of a pair as for the other.
        kind: ``update`` changes the decision once, ``reverted`` there and back, ``several`` goes through some
            values of which the last may be the first one; ``other_update`` speaks of other fields alone.
        rule: whose field is meant.
        value: of that field before all events.
        known: other fields that the prompt has stated.
        breadth: the share of everything odd.
    """
    turns = {"plain": 0, "late": 0, "update": 1, "reverted": 2, "other_update": 0}
    n_own = turns[kind] if kind in turns else int(rng.integers(2, 5))
    own: list[str] = []
    for number in range(n_own):
        last = number == n_own - 1
        if kind == "several":
            drawn = (value, rule.opposite(value), *rule.third)
            own.append(pick(rng, drawn[:2] if last else drawn))
        else:
            own.append(rule.opposite(own[-1] if own else value))
    about: list[tuple[bool, str]] = [(True, v) for v in own]
    others = 0
    if kind == "other_update":
        others = 1 + int(rng.random() < 0.35 * breadth)
    elif own and rng.random() < 0.35 * breadth:
        others = 1
    for _ in range(others):
        about.insert(int(rng.integers(len(about) + 1)), (False, ""))
    one_wording = rng.random() < 0.5
    shared = pick(rng, wordings.UPDATES)
    found: list[Event] = []
    back = kind == "reverted" and rng.random() < 0.3
    for number, (mine, new) in enumerate(about):
        wording = shared if one_wording else pick(rng, wordings.UPDATES)
        if mine:
            value = new
            final = not any(is_own for is_own, _ in about[number + 1 :])
            template = pick(rng, wordings.BACK) if back and final else wording
            found.append(Event(upper(template.format(f=rule.field, v=new)), value))
        else:
            name, said = _about_another(rng, rule, value, known, breadth)
            found.append(Event(upper(wording.format(f=name, v=said)), value))
    return found


def _about_another(
    rng: np.random.Generator, rule: Rule, value: str, known: Sequence[str], breadth: float
) -> tuple[str, str]:
    """Another field, stated before, named like the rule's or neither, and mostly with the tempting value."""
    listed = known[int(rng.integers(len(known)))] if known and rng.random() < 0.4 else None
    drawn = other_field(rng, rule, near=0.2 + 0.5 * breadth)
    tempting, else_where = rng.random() < 0.6, other_value(rng, rule, ruling=0.4)
    return listed or drawn, rule.opposite(value) if tempting else else_where


def report(rng: np.random.Generator, lines: Sequence[str], breadth: float) -> str:
    """Lines of events as one block: as they are, as a log, or between notes that say nothing.

    Args:
        rng: draws the form.
        lines: in order.
        breadth: the share of everything but plain lines.
    """
    shape = rng.random()
    if shape < 0.2 * breadth:
        heading = pick(rng, wordings.LOG_HEADINGS)
        mark = pick(rng, ("- ", "* ", "{n}. ", "{n}:00 ", "> "))
        marked = [mark.format(n=n) + line for n, line in enumerate(lines, start=9)]
        return "\n".join([*([heading] if heading else []), *marked])
    if shape < 0.55 * breadth:
        noted: list[str] = []
        for line in lines:
            noted += [*(filler(rng) for _ in range(int(rng.integers(0, 4)))), line]
        noted += [filler(rng) for _ in range(int(rng.integers(0, 4)))]
        return pick(rng, ("\n", "\n", " ")).join(noted)
    return "\n".join(lines)
