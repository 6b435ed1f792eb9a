"""Records to edit into the weights, and unrelated decisions that must stay."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pkv_interp.cache.compute import Runner
from pkv_interp.tasks import BY_NAME, DISCOVERY, HELD_OUT, Family, Style
from pkv_interp.weight_editing.decisions import Choice, margins
from pkv_interp.weight_editing.facts import Fact
from pkv_interp.weight_editing.mutable import RecordEdit, record_edit

#: Draws of a family that are tried until the model decides both values rightly.
_TRIES = 3
#: Instances that choose layers count from here, so that none of them is scored.
_RANKED = 100


@dataclass(frozen=True)
class Battery:
    """Unrelated two-way decisions: of other families, and of facts the model knows.

    Attributes:
        families: of each choice; facts have none.
        before: margins with the weights untouched.
    """

    choices: tuple[Choice, ...]
    families: tuple[str, ...]
    before: tuple[float, ...]

    def without(self, family: str) -> "Battery":
        """The decisions that are not of ``family``."""
        kept = [i for i, name in enumerate(self.families) if name != family]
        return Battery(
            tuple(self.choices[i] for i in kept),
            tuple(self.families[i] for i in kept),
            tuple(self.before[i] for i in kept),
        )


def pick_records(
    runner: Runner,
    tokenizer: Any,
    families: Sequence[Family],
    *,
    seed: int,
    style: Style,
    n_others: int,
    ranked: bool = False,
) -> list[tuple[RecordEdit, bool]]:
    """One edit per family, and whether the model decides both values and the rephrased prompt rightly.

    Directions alternate over families. An edit that the model cannot decide stands in only where a family
    has no other among a few draws.
    """
    picked = []
    for at, family in enumerate(families):
        found: list[tuple[RecordEdit, bool]] = []
        for attempt in range(_TRIES):
            index = (_RANKED if ranked else 0) + 2 * attempt + at % 2
            edit = record_edit(family, index, tokenizer, seed=seed, style=style, n_others=n_others)
            asked = [edit.mine.choice, edit.rephrased.choice, edit.renewed.choice]
            old, rephrased, new = margins(runner, asked) * edit.wanted
            found.append((edit, bool(max(old, rephrased) < 0.0 < new)))
            if found[-1][1]:
                break
        picked.append(next((one for one in found if one[1]), found[0]))
    return picked


def split_families(families: Sequence[Family]) -> tuple[list[Family], list[Family]]:
    """Families that choose layers and families that are scored; where a side is empty, all of them."""
    ranked = [family for family in families if family.name in DISCOVERY]
    scored = [family for family in families if family.name in HELD_OUT]
    return ranked or list(families), scored or list(families)


def battery(
    runner: Runner, tokenizer: Any, facts: Sequence[Fact], *, seed: int, style: Style, n_decisions: int
) -> Battery:
    """Decisions of discovery families, both values in turn, and the facts with one wrong object each."""
    choices: list[Choice] = []
    names: list[str] = []
    for at, name in enumerate(DISCOVERY[:n_decisions]):
        edit = record_edit(BY_NAME[name], 2 * _RANKED + at, tokenizer, seed=seed, style=style, n_others=0)
        choices.append((edit.mine if at % 2 else edit.renewed).choice)
        names.append(name)
    for fact in facts:
        right = fact.relation.ask(tokenizer, fact.subject, fact.old)
        choices.append(Choice(right.ids, (right.target, fact.asked(tokenizer).target)))
        names.append("")
    before = tuple(float(margin) for margin in margins(runner, choices))
    return Battery(tuple(choices), tuple(names), before)
