"""One flip as numbers, and groups of them as estimates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.blast_radius.deviations import FlipDeviation
from experiments.blast_radius.measure import Measured
from pkv_interp.measure.deviation import MEASURES, share_above
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate, mean
from pkv_interp.tasks.field_classes import ClassCase
from pkv_interp.tasks.token_kinds import token_kinds

#: Thresholds of the headline: the published one, and a stricter one.
BLAST, DOWNSTREAM = 0.1, 0.05
OUTPUT = MEASURES.index("output")
_COSINES = [MEASURES.index("k_cosine"), MEASURES.index("v_cosine")]
#: Beginnings of the names of scores that are shares of tokens.
_SHARES = ("share_", "output_", "kv_cosine_")


@dataclass(frozen=True, eq=False)
class ScoredFlip:
    """A flip, what it moves, and the scores that follow.

    Attributes:
        flip: the change of the field.
        found: what was measured on it.
        most: largest value over layers, of the tokens after the field.
        depth: mean over those tokens, by layer.
        kinds: of those tokens.
        scores: shares and means of this flip, by name.
    """

    flip: ClassCase
    found: FlipDeviation
    most: Float[np.ndarray, "measures notes"]
    depth: Float[np.ndarray, "measures layers"]
    kinds: np.ndarray
    scores: dict[str, float]

    @property
    def family(self) -> str:
        """The scenario family."""
        return self.flip.case.family

    @property
    def n_changed(self) -> int:
        """Tokens in which the two prompts differ."""
        case = self.flip.case
        return sum(a != b for a, b in zip(case.clean.ids, case.corrupt.ids, strict=True))

    @property
    def output(self) -> Float[np.ndarray, " notes"]:
        """Deviation of the attention output of the tokens after the field."""
        return self.most[OUTPUT]


def scored_flips(found: Measured, thresholds: Sequence[float]) -> list[ScoredFlip]:
    """Every flip with its scores, shares above the thresholds among them."""
    return [_scored(flip, deviation, thresholds) for flip, deviation in found.flips]


def _scored(flip: ClassCase, found: FlipDeviation, thresholds: Sequence[float]) -> ScoredFlip:
    case = flip.case
    most = found.most.astype(float)
    cosine = most[_COSINES].max(0)
    scores = {
        "share_0.05": share_above(most[OUTPUT], DOWNSTREAM),
        "share_0.1": share_above(most[OUTPUT], BLAST),
        **{f"output_{tau}": share_above(most[OUTPUT], tau) for tau in thresholds},
        **{f"kv_cosine_{tau}": share_above(cosine, tau) for tau in thresholds},
        **{f"mean_{name}": float(most[i].mean()) for i, name in enumerate(MEASURES)},
        "margin_shift": abs(found.clean - found.corrupt),
        "before": found.before,
    }
    kinds = np.array(token_kinds(case.clean)[case.after_change : case.clean.decision])
    return ScoredFlip(flip, found, most, found.depth.astype(float), kinds, scores)


def grouped(flips: Sequence[ScoredFlip], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[ScoredFlip]]]:
    """Flips by attributes of their case (``field_class``, ``flip``, ...), in order of appearance."""
    groups: dict[tuple[Any, ...], list[ScoredFlip]] = {}
    for scored in flips:
        groups.setdefault(tuple(getattr(scored.flip, key) for key in keys), []).append(scored)
    yield from groups.items()


def mean_score(flips: Sequence[ScoredFlip], score: str, resampling: Resampling) -> Estimate:
    """Mean of a score over flips, interval by family; that of a share is cut at 0 and 1."""
    bounds = (0.0, 1.0) if score.startswith(_SHARES) else None
    return mean([f.scores[score] for f in flips], [f.family for f in flips], bounds=bounds, **resampling)
