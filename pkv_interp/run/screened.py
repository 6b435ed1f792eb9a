"""What is decided on the candidates of a run with nothing patched, and which of them it uses."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import PairRun

#: Split of the candidates that score; those of any other rank.
SCORED = "held_out"


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

    @property
    def scored(self) -> list[Candidate]:
        """Those that score."""
        return [one for one in self.candidates if one.split == SCORED]


def families(candidates: Iterable[Candidate]) -> set[str]:
    """Families of candidates."""
    return {one.found.family for one in candidates}
