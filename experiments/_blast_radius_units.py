"""One flip of the blast radius experiment as numbers, and groups of them as estimates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pkv_interp.measure.deviation import MEASURES, share_above
from pkv_interp.stats import Estimate, mean
from pkv_interp.tasks.field_classes import ClassCase
from pkv_interp.tasks.token_kinds import token_kinds

if TYPE_CHECKING:
    from experiments.blast_radius import Chunk

#: Thresholds of the headline: the published one, and a stricter one.
BLAST, DOWNSTREAM = 0.1, 0.05
OUTPUT = MEASURES.index("output")
_COSINES = [MEASURES.index("k_cosine"), MEASURES.index("v_cosine")]
Options = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Unit:
    """A flip and what was measured on it.

    Attributes:
        most: [measures, tokens after the field], largest value over layers.
        depth: [measures, layers], mean over those tokens.
        kinds: [tokens after the field].
        scores: shares and means of this flip, by name.
    """

    found: ClassCase
    chunk: "Chunk"
    most: np.ndarray
    depth: np.ndarray
    kinds: np.ndarray
    scores: dict[str, float]

    @property
    def family(self) -> str:
        return self.found.case.family

    @property
    def n_changed(self) -> int:
        """Tokens in which the two prompts differ."""
        case = self.found.case
        return sum(a != b for a, b in zip(case.clean.ids, case.corrupt.ids, strict=True))

    @property
    def output(self) -> np.ndarray:
        """Deviation of the attention output, [tokens after the field]."""
        return self.most[OUTPUT]


#: Beginnings of the names of scores that are shares of tokens.
_SHARES = ("share_", "output_", "kv_cosine_")


def make_units(
    cases: Sequence[ClassCase], chunks: Sequence["Chunk"], thresholds: Sequence[float]
) -> list[Unit]:
    """Join cases and their measurements."""
    units = []
    for found, chunk in zip(cases, chunks, strict=True):
        start, stop = found.case.after_change, found.case.clean.decision
        most = np.asarray(chunk["most"], float)[:, start:]
        cosine = most[_COSINES].max(0)
        scores = {
            "share_0.05": share_above(most[OUTPUT], DOWNSTREAM),
            "share_0.1": share_above(most[OUTPUT], BLAST),
            **{f"output_{tau}": share_above(most[OUTPUT], tau) for tau in thresholds},
            **{f"kv_cosine_{tau}": share_above(cosine, tau) for tau in thresholds},
            **{f"mean_{name}": float(most[i].mean()) for i, name in enumerate(MEASURES)},
            "margin_shift": abs(chunk["clean"] - chunk["corrupt"]),
            "before": float(chunk["before"]),
        }
        kinds = np.array(token_kinds(found.case.clean)[start:stop])
        units.append(Unit(found, chunk, most, np.asarray(chunk["depth"], float), kinds, scores))
    return units


def grouped(units: Sequence[Unit], *keys: str) -> Iterator[tuple[tuple[Any, ...], list[Unit]]]:
    """Units by attributes of their case (``field_class``, ``flip``, ...), in order of appearance."""
    groups: dict[tuple[Any, ...], list[Unit]] = {}
    for unit in units:
        groups.setdefault(tuple(getattr(unit.found, key) for key in keys), []).append(unit)
    yield from groups.items()


def mean_score(units: Sequence[Unit], score: str, options: Options) -> Estimate:
    """Mean of a score over units, interval by family; that of a share is cut at 0 and 1."""
    bounds = (0.0, 1.0) if score.startswith(_SHARES) else None
    return mean([u.scores[score] for u in units], [u.family for u in units], bounds=bounds, **options)


def line(estimate: Estimate, **columns: Any) -> dict[str, Any]:
    """One line of a table: the columns, then the estimate's fields."""
    return {**columns, **estimate.model_dump()}
