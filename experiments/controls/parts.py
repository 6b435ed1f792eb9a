"""What each part of the summary gives to the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section, with_right_pairs
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks import Case

T = TypeVar("T")

#: Noise floors reported beside claims: what same-conclusion donors' KV at changed span and notes moves.
TRIGGER_ALL, FIELD_ALL = "same_conclusion_trigger_all", "same_conclusion_field_all"


@dataclass(frozen=True)
class Part:
    """Headlines, tables, claims and controls of one question."""

    headlines: list[Headline]
    tables: list[TableRow]
    claims: list[Claim]
    controls: list[Control]


def by_case(cases: Sequence[Case], results: Sequence[T]) -> Stage[T]:
    """What was measured of quads, in the form in which a scorer of one pair of each finds it."""
    return Stage({key_of(case): result for case, result in zip(cases, results, strict=True)})


def over_right_pairs(part: Callable[[Scorer], Part], scorer: Scorer) -> Part:
    """A part over all pairs, with a line for each mechanism headline over pairs right on both sides.

    Claims and controls are of all pairs.

    Args:
        part: makes it from the scorer's cases and no others.
        scorer: of all pairs.
    """
    made: list[Part] = []

    def section(mine: Scorer) -> Section:
        made.append(part(mine))
        return made[-1].headlines, made[-1].tables

    headlines, tables = with_right_pairs(section, scorer)
    return replace(made[0], headlines=headlines, tables=tables)
