"""Pairs that the model is right on, on both sides: which of the candidates a run uses.

Only unpatched decisions are looked at, before anything is patched. Competence is that of all candidates;
mechanisms are measured on those that are kept.
"""

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pkv_interp.errors import PkvError
from pkv_interp.run.screened import SCORED, Candidate, Decided, Screened, families
from pkv_interp.run.stage import Named, Stage, key_of


class OfFamily(Protocol):
    """Anything that has a family."""

    @property
    def family(self) -> str:
        """The name of its family."""
        ...


N = TypeVar("N", bound=Named)
F = TypeVar("F", bound=OfFamily)
#: Families that a screened run must keep at least: below two there is no interval at all.
LEAST_SCORED = 2


def first_of_each(items: Sequence[F], number: int) -> list[F]:
    """The first ``number`` items of each family, in the order of all."""
    seen: Counter[str] = Counter()
    found = []
    for item in items:
        seen[item.family] += 1
        if seen[item.family] <= number:
            found.append(item)
    return found


#: What was kept of the splits before, by their names.
KeptBefore = Mapping[str, Sequence[N]]


@dataclass(frozen=True)
class Candidates(Generic[N]):
    """What may be used of one split.

    Attributes:
        items: in the order in which they are tried.
        per_family: how many of each family are used at most; None: all that are right.
        at_least: families with fewer are left out.
        fits: what else an item needs beside being decided right, given what was kept of the splits before.
        group_of: families are counted apart in each of these groups, for example by the length of a prompt.
    """

    items: Sequence[N]
    per_family: int | None
    at_least: int = 1
    fits: Callable[[N, KeptBefore[N]], bool] = lambda _item, _before: True
    group_of: Callable[[N], Hashable] = lambda _: None


@dataclass(frozen=True)
class Kept(Generic[N]):
    """What a run uses.

    Attributes:
        items: by split.
        screened: all candidates; none where the run does not screen.
    """

    items: dict[str, list[N]]
    screened: Screened


def keep(splits: Mapping[str, Candidates[N]], found: Stage[Decided]) -> Kept[N]:
    """Of each split the first items of each family that are right and fit, in the order of all.

    Args:
        splits: what may be used, by name, in the order in which it is chosen.
        found: what is decided on every item.

    Raises:
        PkvError: nothing is left of a split that ranks, or fewer than two families that score.
    """
    kept: dict[str, list[N]] = {}
    for split, candidates in splits.items():
        kept[split] = _chosen(candidates, found, kept)
    used = {key_of(item) for items in kept.values() for item in items}
    screened = Screened(
        [
            Candidate(split, found.at(item), key_of(item) in used)
            for split, candidates in splits.items()
            for item in candidates.items
        ]
    )
    _refuse_too_few(screened, [split for split in splits if split != SCORED])
    return Kept(kept, screened)


def _chosen(candidates: Candidates[N], found: Stage[Decided], before: KeptBefore[N]) -> list[N]:
    def group(item: N) -> tuple[str, Hashable]:
        return found.at(item).family, candidates.group_of(item)

    taken: Counter[tuple[str, Hashable]] = Counter()
    chosen: list[N] = []
    for item in candidates.items:
        full = candidates.per_family is not None and taken[group(item)] >= candidates.per_family
        if found.at(item).right and not full and candidates.fits(item, before):
            taken[group(item)] += 1
            chosen.append(item)
    return [item for item in chosen if taken[group(item)] >= candidates.at_least]


def _refuse_too_few(screened: Screened, ranking: Collection[str]) -> None:
    """Refuse to go on where nothing ranks or too few families score.

    Args:
        screened: all candidates.
        ranking: splits that rank.

    Raises:
        PkvError: there are too few.
    """
    hint = "try more candidates, another layout, or a model that follows the rule"
    scored = screened.scored
    used = families(one for one in scored if one.used)
    if len(used) < LEAST_SCORED:
        raise PkvError(
            f"the model is right on both sides of {sum(one.found.right for one in scored)} of {len(scored)} "
            f"pairs, and {len(used)} of {len(families(scored))} families have a pair that can be used",
            hint,
        )
    for split in ranking:
        mine = [one for one in screened.candidates if one.split == split]
        if not any(one.used for one in mine):
            raise PkvError(
                f"none of the {len(mine)} pairs that rank can be used: none is right on both sides", hint
            )
