"""Noise floors of the controls experiment, and tests of its claims of "nothing" and of "everything"."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._scores import Scorer, stack
from pkv_interp.records import Run
from pkv_interp.stats import holm, tost

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk

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


def floors(run: Run, found: Sequence["Chunk"]) -> None:
    """Noise floors in recovery, measured on discovery families: what patches move that bring no news.

    A self-patch moves what two ways to compute one margin differ by. A same-conclusion donor (another record,
    the same conclusion from the same values) moves what prompts differ by besides the conclusion: the mean
    absolute shift of the margin over the mean gap, for its KV at the changed span, at the notes, and at both.
    """
    least = run.noise_floor["margin"]
    scales = []
    for name, changed in (("polarity", "trigger"), ("field", "field")):
        gap = stack(found, name, "clean") - stack(found, name, "corrupt")
        scales.append(max(abs(float(gap.mean())), least))
        for where, label in (("field", changed), ("notes", f"{changed}_notes"), ("both", f"{changed}_all")):
            shift = np.abs(stack(found, name, "twin", where) - stack(found, name, "corrupt"))
            # A shift below what two computations of one margin differ by is not known any better.
            run.noise_floor[f"same_conclusion_{label}"] = max(float(shift.mean()), least) / scales[-1]
    run.noise_floor["self_patch"] = least / min(scales)


def equivalences(run: Run, claims: Sequence[Claim]) -> None:
    """Two one-sided tests of each claim, with Holm over all of them."""
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
