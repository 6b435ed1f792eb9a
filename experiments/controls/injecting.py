"""False conclusions: prompts with notes of one with another trigger, and so another conclusion."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.controls.ranking import NoteRanking, aggregators, best_positions
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.injection import resample
from pkv_interp.measure.matching import matched_share, random_positions_like
from pkv_interp.measure.pairs import margin_of
from pkv_interp.streams import stream
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.quads import CELLS, Quad

#: The cell of each cell's donor: that of the same field and the other trigger.
OTHER_CONCLUSION = tuple(CELLS.index(field + {"v": "o", "o": "v"}[trigger]) for field, trigger in CELLS)
#: Sets of positions that hold the donor's KV, besides random ones.
SETS = ("aggregators", "single_labels", "all_notes")


@dataclass(frozen=True)
class FalseConclusions:
    """Margins of a held-out quad's four prompts, in the order of `CELLS`, in logits.

    Attributes:
        plain: with nothing patched.
        other: with KV of a donor of the other conclusion (same record, same field, other trigger), by set of
            positions: the strongest ones after the trigger (``aggregators``), those whose label has one
            position in every prompt (``single_labels``), and ``all_notes``.
        random: with the same donor's KV at random positions matched to the aggregators.
        same: with KV of a donor of the same conclusion about another record, at the aggregators.
        matched: share of the random positions that match in region and class of token.
    """

    plain: Float[np.ndarray, " cells"]
    other: dict[str, Float[np.ndarray, " cells"]]
    random: Float[np.ndarray, "cells draws"]
    same: Float[np.ndarray, " cells"]
    matched: float


def put_in(
    engine: Engine,
    quad: Quad,
    cells: Sequence[Prefill],
    twins: Sequence[Prefill],
    plan: NoteRanking,
    settings: ControlsSettings,
) -> FalseConclusions:
    """Put false conclusions into a held-out quad's prompts while field and rule stay live.

    Args:
        engine: of the model.
        quad: the quad.
        cells: its prompts, run, in the order of `CELLS`.
        twins: those of its twin, likewise.
        plan: what discovery families chose.
        settings: sizes.
    """
    case = quad.polarity
    best = best_positions(case, plan, settings.n_aggregators)
    sets: dict[str, Sequence[int]] = {
        "aggregators": best,
        "single_labels": aggregators(quad, plan),
        "all_notes": range(case.after_change, case.clean.decision),
    }
    draws, matched = _random_like(best, case, settings)
    drawn = {f"random@{i}": positions for i, positions in enumerate(draws)}
    cases = (quad.polarity, quad.polarity, quad.opposite, quad.opposite)
    found: list[dict[str, float]] = []
    same: list[float] = []
    for mine, base, donor, twin in zip(
        cases, cells, (cells[i] for i in OTHER_CONCLUSION), twins, strict=True
    ):
        ids = mine.action_ids
        found.append(resample(engine, base, {"other": donor}, sets | drawn, ids)["other"])
        same.append(resample(engine, base, {"same": twin}, {"at": best}, ids)["same"]["at"])
    return FalseConclusions(
        plain=np.array([margin_of(cell, mine.action_ids) for mine, cell in zip(cases, cells, strict=True)]),
        other={name: np.array([margins[name] for margins in found]) for name in SETS},
        random=np.array([[margins[name] for name in drawn] for margins in found]),
        same=np.array(same),
        matched=matched,
    )


def _random_like(
    chosen: Sequence[int], case: Case, settings: ControlsSettings
) -> tuple[list[tuple[int, ...]], float]:
    """Random positions of the notes for each draw, and the share of them that match."""
    rng = stream(settings.seed, "controls", "random aggregators", case.instance)
    notes, prompt = range(case.after_change, case.clean.decision), case.clean
    classes = token_classes(prompt.tokens)
    strata = [(prompt.kinds[p], classes[p]) for p in notes]
    draws = [random_positions_like(chosen, notes, strata, rng) for _ in range(settings.random_draws)]
    return draws, float(np.mean([matched_share(chosen, one, notes, strata) for one in draws]))
