"""What is decided on the candidates of a run with nothing patched, and which of them it uses."""

from dataclasses import dataclass, field

from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import PairRun
from pkv_interp.records.competence import PairsScreened
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow

#: Split of the candidates that score; those of any other rank.
SCORED = "held_out"
#: Name of the rows of candidates.
ARM = "screened"


@dataclass(frozen=True)
class ScreenedPair:
    """What the model decides on the two prompts of a pair; margins in logits."""

    wording: str
    clean: float
    corrupt: float
    decisions: list[Decision]

    @classmethod
    def of(cls, pair: PairRun) -> "ScreenedPair":
        """Of a pair that was run."""
        case = pair.case
        return cls(case.wording, pair.clean_margin, pair.corrupt_margin, decisions(pair))


@dataclass(frozen=True)
class Decided:
    """Decisions on all pairs of one candidate, unpatched."""

    family: str
    instance: str
    pairs: list[ScreenedPair]

    @property
    def decisions(self) -> list[Decision]:
        """On every prompt."""
        return [decision for pair in self.pairs for decision in pair.decisions]

    @property
    def right(self) -> bool:
        """Whether every prompt is decided right."""
        return all(decision.right for decision in self.decisions)

    @property
    def wrong(self) -> bool:
        """Whether every prompt is decided wrong: a model that guesses does this as often as it is right."""
        return not any(decision.right for decision in self.decisions)


@dataclass(frozen=True)
class Candidate:
    """One candidate of a split, and whether the run uses it."""

    split: str
    found: Decided
    used: bool


@dataclass(frozen=True)
class Screened:
    """All candidates in the order in which they were tried; none where the run does not screen."""

    candidates: list[Candidate] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.candidates)

    @property
    def decisions(self) -> list[Decision]:
        """On every prompt of every candidate: what competence is told by."""
        return [decision for one in self.candidates for decision in one.found.decisions]

    def counts(self) -> PairsScreened:
        """How many candidates that score were tried, right and used, and their families."""
        scored = [one for one in self.candidates if one.split == SCORED]
        used = [one for one in scored if one.used]
        return PairsScreened(
            tried=len(scored),
            right=sum(one.found.right for one in scored),
            wrong=sum(one.found.wrong for one in scored),
            used=len(used),
            families_tried=len({one.found.family for one in scored}),
            families_used=len({one.found.family for one in used}),
        )

    def table(self) -> list["ScreenRow"]:
        """A line per split and family."""
        groups: dict[tuple[str, str], list[Candidate]] = {}
        for one in self.candidates:
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

    def rows(self) -> list[Row]:
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
            for one in self.candidates
            for at, pair in enumerate(one.found.pairs, start=1)
        ]


def of_screen(row: Row) -> bool:
    """Whether a row is about a candidate, which no figure need be over."""
    return row.arm.partition("_")[0] == ARM


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
