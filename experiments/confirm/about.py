"""What every result of the confirmatory run says of itself, and which families it rests on."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.measure.competence import Decision


@dataclass(frozen=True)
class About:
    """What a result is about.

    Attributes:
        family, instance, wording: of the case.
        layout: name of the layout that it is in.
    """

    family: str
    instance: str
    wording: str
    layout: str


def right_on_both(decided: Sequence[Decision]) -> bool:
    """Whether every prompt of a pair, or of a quad, is decided right."""
    return all(decision.right for decision in decided)


def accuracy_by_side(decided: Sequence[Decision]) -> tuple[float, float]:
    """Shares right where the field equals the trigger and where it does not; 0 for a side with no prompt."""
    match, mismatch = (
        [decision.right for decision in decided if decision.gold_is_match == side] for side in (True, False)
    )
    return sum(match) / max(len(match), 1), sum(mismatch) / max(len(mismatch), 1)


def competent(decided: Sequence[Decision], threshold: float) -> bool:
    """Whether both sides reach the threshold."""
    return min(accuracy_by_side(decided)) >= threshold
