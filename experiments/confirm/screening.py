"""Unpatched decisions on pairs that are tried, and which of them are used.

Of a model whose pairs are not screened all are used, and claims are judged on those right on both sides. Of
one whose pairs are screened, those right on both sides are used, the first ones of each family, to rank as
well as to be scored.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from experiments.confirm.about import About, right_on_both
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import run_pair
from pkv_interp.run.screened import SCORED, Candidate, Decided, Screened, ScreenedPair
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from experiments.confirm.settings import ConfirmSettings
    from pkv_interp.run.session import Session


class Triable(Protocol):
    """A pair or a quad, with its layout."""

    @property
    def instance(self) -> str:
        """Its name."""
        ...

    @property
    def family(self) -> str:
        """Name of the family."""
        ...

    @property
    def layout(self) -> str | None:
        """Name of the layout."""
        ...

    @property
    def pairs(self) -> tuple[Case, ...]:
        """The pairs that are decided on."""
        ...


T = TypeVar("T", bound=Triable)


@dataclass(frozen=True)
class Tried:
    """Unpatched decisions on both prompts of a pair, or on all four of a quad."""

    about: About
    split: str
    decisions: list[Decision]

    @property
    def right(self) -> bool:
        """Whether every prompt is decided right."""
        return right_on_both(self.decisions)


@dataclass(frozen=True)
class Tries:
    """What was tried of one kind, and how much of it is used.

    Attributes:
        found: in the order of trying.
        per_family: that are used at most, of those right on both sides; None: all are, right or wrong.
    """

    found: list[Tried]
    per_family: int | None

    @property
    def used(self) -> list[bool]:
        """Whether each is used."""
        return first_of_families(
            [one.about.family for one in self.found],
            [one.right or self.per_family is None for one in self.found],
            self.per_family,
        )


def decide(engine: Engine, one: Triable) -> Tried:
    """All prompts with nothing patched."""
    first = one.pairs[0]
    about = About(one.family, first.instance, first.wording, str(one.layout))
    found = [d for case in one.pairs for d in decisions(run_pair(engine, case, ()))]
    return Tried(about, first.split, found)


def try_out(
    session: "Session[ConfirmSettings]", stage: str, items: Sequence[T], per_family: int | None
) -> tuple[list[T], Tries]:
    """Decide on every item with nothing patched.

    Args:
        session: of the run.
        stage: its name.
        items: pairs or quads.
        per_family: see `Tries`.

    Returns:
        Those that are used, and what was decided on all.
    """
    found = session.each(stage, items, lambda one: decide(session.engine, one), Tried).all()
    tries = Tries(found, per_family)
    return [one for one, used in zip(items, tries.used, strict=True) if used], tries


def first_of_families(families: Sequence[str], right: Sequence[bool], per_family: int | None) -> list[bool]:
    """Which items are the first right ones of their family.

    Args:
        families: of the items.
        right: whether each may be used.
        per_family: of a family at most; None: all.
    """
    taken: Counter[str] = Counter()
    used: list[bool] = []
    for family, good in zip(families, right, strict=True):
        used.append(good and (per_family is None or taken[family] < per_family))
        taken[family] += used[-1]
    return used


def screened(tries: Sequence[Tries]) -> Screened:
    """Pairs that were tried, as the competence gate takes them.

    Args:
        tries: of one kind each.
    """
    return Screened(
        [
            Candidate(_side(one), Decided(one.about.family, one.about.instance, [_pair(one)]), used)
            for mine in tries
            for one, used in zip(mine.found, mine.used, strict=True)
        ]
    )


def _pair(one: Tried) -> ScreenedPair:
    clean, corrupt = one.decisions
    return ScreenedPair(one.about.wording, clean.margin, -corrupt.margin, one.decisions)


def _side(one: Tried) -> str:
    """Which side of a screen a pair is on: families to be confirmed score, as held-out ones elsewhere."""
    return one.split if one.split == "discovery" else SCORED
