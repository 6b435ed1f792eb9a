"""Claims of "nothing" and of "everything", held against measured noise floors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments._scores import Scorer
from pkv_interp.records import Run
from pkv_interp.stats import holm, tost

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class Claim:
    """That an arm is about 0, or about 1 against the full patch.

    Attributes:
        effect: [cases], in logits: what the arm moves, or how far it is from the full patch.
        floor: name of the noise floor that it is held against.
    """

    expected: str
    arm: str
    effect: np.ndarray
    scorer: Scorer
    floor: str


def equivalences(run: Run, claims: Sequence[Claim]) -> None:
    """Two one-sided tests of each claim, with Holm over all of them; fills ``equivalence``."""
    lines: list[dict[str, Any]] = []
    for claim in claims:
        found = tost(
            claim.effect,
            claim.scorer.families,
            run.noise_floor[claim.floor],
            claim.scorer.gap,
            alpha=ALPHA,
            **claim.scorer.options,
        )
        lines.append(
            {
                "claim": f"{claim.arm} is about {claim.expected}",
                "arm": claim.arm,
                "difference": found.estimate.value,
                "ci90_low": found.estimate.ci_low,
                "ci90_high": found.estimate.ci_high,
                "floor": found.floor,
                "floor_of": claim.floor,
                "p_value": found.p_value,
                "equivalent": found.equivalent,
            }
        )
    for line, adjusted in zip(lines, holm([line["p_value"] for line in lines]), strict=True):
        line["p_holm"] = float(adjusted)
        line["equivalent"] = bool(line["equivalent"] and adjusted < ALPHA)
    run.tables["equivalence"] = lines
