"""On a ranking instance: the effect of every single position, and where the decision looks."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.knockout import attention_by_position
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.patching import sweep_positions
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class RankedSites:
    """One ranking instance; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        decisions: on the clean and on the corrupt prompt.
        positions: margin after patching each position of the notes.
        attention: of the clean prompt's decision to each position of the notes, mean over layers and heads.
    """

    clean: float
    corrupt: float
    decisions: tuple[Decision, Decision]
    positions: Float[np.ndarray, " notes"]
    attention: Float[np.ndarray, " notes"]


def rank_sites(engine: Engine, case: Case) -> RankedSites:
    """Patch every position of the notes alone, and read the attention of the decision."""
    pair = run_pair(engine, case, {"attention"})
    first, second = decisions(pair)
    return RankedSites(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        decisions=(first, second),
        positions=sweep_positions(engine, pair),
        attention=attention_by_position(pair)[list(pair.notes)],
    )
