"""Role or word: what the decision follows of donors with other words at the same places."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from experiments.anatomy.measure import Measured
from experiments.anatomy.tables import DonorLine, WordLine
from experiments.anatomy.words import UNWORDED, Rewordings, Words
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.stats import Estimate, ratio_of_means

Section = tuple[list[Headline], list[TableRow]]
DONORS = ("same", "swapped", "renamed")
#: Headlines by donor, what is put in, and what is followed.
_STATED = {
    ("renamed", UNWORDED, "role"): ("follows_role", "decision follows a renamed donor's role"),
    ("renamed", UNWORDED, "word"): ("follows_word", "decision follows a renamed donor's word"),
    ("same", UNWORDED, "role"): ("follows_same", "decision follows a donor of the same words"),
    ("swapped", UNWORDED, "role"): ("follows_swapped", "role (+) or word (-) of exchanged words"),
}


def words(found: Measured, held: Scorer) -> Section:
    """Both ways of following, by donor and by what is put in."""
    scored = found.words.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for donor in DONORS:
        have = [(i, one) for i, one in enumerate(_of(scored, donor)) if one is not None]
        if not have:
            continue
        at, mine = [i for i, _ in have], [one for _, one in have]
        lines.append(_donors(held, donor, at, mine))
        ways = ("role", "word") if donor == "renamed" else ("role",)
        for name in [name for name in mine[0].role if all(name in one.role for one in mine)]:
            for way in ways:
                estimate = _followed(held, at, mine, name, way)
                group, _, part = name.partition("/")
                lines.append(WordLine.of(estimate, donor=donor, group=group, part=part, follows=way))
                if (donor, name, way) in _STATED:
                    headline, what = _STATED[donor, name, way]
                    headlines.append(Headline(headline, estimate, what))
    return headlines, lines


def _of(scored: Sequence[Rewordings], donor: str) -> list[Words | None]:
    return [getattr(one, donor) for one in scored]


def _followed(held: Scorer, at: Sequence[int], mine: Sequence[Words], name: str, way: str) -> Estimate:
    """The shift over the gap: the base's for its own words, the donor's for the donor's."""
    shift = np.array([getattr(one, way)[name] for one in mine])
    gap = held.gap[list(at)] if way == "role" else np.array([one.gap for one in mine])
    families = [held.families[i] for i in at]
    return ratio_of_means(shift, _told(gap, held.noise_floor), families, **held.resampling)


def _told(gap: Float[np.ndarray, " cases"], noise_floor: float) -> Float[np.ndarray, " cases"]:
    """The denominators; the noise floor where half precision has left them nothing to sum to."""
    return gap if gap.sum() else np.full_like(gap, noise_floor)


def _donors(held: Scorer, donor: str, at: Sequence[int], mine: Sequence[Words]) -> DonorLine:
    gaps = [one.gap for one in mine]
    families = [held.families[i] for i in at]
    estimate = ratio_of_means(gaps, np.ones(len(gaps)), families, **held.resampling)
    right = float(np.mean([one.right for one in mine]))
    return DonorLine.of(estimate, donor=donor, right=right)
