"""Mechanism figures once more, over the pairs that the model decides right on both sides.

What moves a decision that is wrong is a route of influence: by which way the changed span acts on the output,
and not how a right decision is made. Where every scored pair is right, as after a screen, both are the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow, interval
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer

#: Headlines and tables of one question.
Section = tuple[list[Headline], list[TableRow]]
#: Families of right pairs below which no figure of them is told: one has no interval.
LEAST = 2


@dataclass(frozen=True)
class RightPairs(EstimateRow):
    """A mechanism headline over all scored pairs, and over those decided right on both sides (``right``).

    ``right`` is empty where those pairs are of fewer than two families, or where they have no such figure.
    """

    table = "right_pairs"
    headline: str
    right: float | None
    right_ci_low: float | None
    right_ci_high: float | None
    right_n_families: int
    right_n_instances: int


def right_on_both(scorer: Scorer) -> Scorer:
    """A scorer for those cases alone that are decided right on both sides, with no rows of its own yet."""
    kept = (scorer.clean > 0.0) & (scorer.corrupt < 0.0)
    return Scorer(
        [case for case, right in zip(scorer.cases, kept, strict=True) if right],
        scorer.clean[kept],
        scorer.corrupt[kept],
        scorer.noise_floor,
        scorer.resampling,
    )


def with_right_pairs(section: Callable[[Scorer], Section], scorer: Scorer) -> Section:
    """A section over all pairs, and a line for each of its mechanism headlines over right pairs beside it.

    Args:
        section: figures of the scorer's cases and of no others; called once for all pairs, and once for the
            right ones where these are fewer.
        scorer: of all pairs; rows are left in it, and none by the right pairs.
    """
    headlines, tables = section(scorer)
    right = right_on_both(scorer)
    return headlines, [*tables, *_lines(headlines, _of_right(section, headlines, scorer, right), right)]


def _of_right(
    section: Callable[[Scorer], Section], headlines: Sequence[Headline], scorer: Scorer, right: Scorer
) -> Sequence[Headline]:
    if len(set(right.families)) < LEAST:
        return []
    return headlines if len(right.cases) == len(scorer.cases) else section(right)[0]


def _lines(headlines: Sequence[Headline], of_right: Sequence[Headline], right: Scorer) -> list[RightPairs]:
    known = {headline.name: headline.estimate for headline in of_right}
    return [
        RightPairs.of(
            headline.estimate,
            headline=headline.name,
            **interval("right", known.get(headline.name)),
            right_n_families=len(set(right.families)),
            right_n_instances=len(right.cases),
        )
        for headline in headlines
        if headline.needs_gate
    ]
