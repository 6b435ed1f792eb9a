"""Screened candidates in the record: how many there were, by family, and a row for each of their pairs."""

from dataclasses import dataclass

from pkv_interp.records.competence import PairsScreened
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.screened import Candidate, Screened, families

#: Name of the rows of candidates.
ARM = "screened"


@dataclass(frozen=True)
class ScreenRow(TableRow):
    """Candidates of a family: right on both sides, wrong on both sides, and used."""

    table = "screen"
    family: str
    split: str
    tried: int
    right: int
    wrong: int
    used: int


def of_screen(row: Row) -> bool:
    """Whether a row is about a candidate, which no figure need be over."""
    return row.arm.partition("_")[0] == ARM


def counts(screened: Screened) -> PairsScreened:
    """How many candidates that score were tried, right and used, and their families."""
    scored = screened.scored
    used = [one for one in scored if one.used]
    return PairsScreened(
        tried=len(scored),
        right=sum(one.found.right for one in scored),
        wrong=sum(one.found.wrong for one in scored),
        used=len(used),
        families_tried=len(families(scored)),
        families_used=len(families(used)),
    )


def screen_table(screened: Screened) -> list[ScreenRow]:
    """A line per split and family."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in screened.candidates:
        groups.setdefault((one.split, one.found.family), []).append(one)
    return [
        ScreenRow(
            family,
            split,
            len(mine),
            sum(one.found.right for one in mine),
            sum(one.found.wrong for one in mine),
            sum(one.used for one in mine),
        )
        for (split, family), mine in groups.items()
    ]


def screen_rows(screened: Screened) -> list[Row]:
    """A row per pair of every candidate, so that the selection can be checked from the record."""
    return [
        Row(
            family=one.found.family,
            split=one.split,
            instance=one.found.instance,
            wording=pair.wording,
            arm=ARM if len(one.found.pairs) == 1 else f"{ARM}_{at}",
            clean=pair.clean,
            corrupt=pair.corrupt,
            extra={"right": one.found.right, "used": one.used},
        )
        for one in screened.candidates
        for at, pair in enumerate(one.found.pairs, start=1)
    ]
