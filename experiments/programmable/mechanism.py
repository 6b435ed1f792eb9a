"""What a decision rests on in plain prompts: parts of the cache, and the heads that read it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.crossing import part_margins
from pkv_interp.measure.heads import head_sweep
from pkv_interp.measure.pairs import run_pair
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class PartMargins:
    """A field pair; margins in logits.

    Attributes:
        clean, corrupt: of the two prompts.
        decisions: on them.
        parts: by what of the clean cache was put in, named as in ``part_rows``.
    """

    clean: float
    corrupt: float
    decisions: tuple[Decision, Decision]
    parts: dict[str, float]


@dataclass(frozen=True)
class HeadMargins:
    """A polarity pair with each head patched at the decision token; margins in logits."""

    family: str
    clean: float
    corrupt: float
    heads: Float[np.ndarray, "layers heads"]


def parts_of(engine: Engine, case: Case) -> PartMargins:
    """Keys, values and both, of the field and of the notes.

    Args:
        engine: of the model.
        case: a field pair.
    """
    pair = run_pair(engine, case, ())
    first, second = decisions(pair)
    return PartMargins(pair.clean_margin, pair.corrupt_margin, (first, second), part_margins(engine, pair))


def heads_of(engine: Engine, case: Case) -> HeadMargins:
    """Every head of a pair.

    Args:
        engine: of the model.
        case: a polarity pair.
    """
    pair = run_pair(engine, case, ())
    return HeadMargins(case.family, pair.clean_margin, pair.corrupt_margin, head_sweep(engine, pair))
