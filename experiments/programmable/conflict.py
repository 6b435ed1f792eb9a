"""The field says one thing and the notes say another: which of them a model's decision goes with."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.engine import Engine
from pkv_interp.measure.conflict import conflict_margins
from pkv_interp.measure.pairs import run_pair
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class ConflictMargins:
    """A field pair; margins in logits.

    Attributes:
        clean, corrupt: of the two prompts.
        mixed: with the corrupt prompt's field and notes between both prompts, by strength of the clean ones.
    """

    clean: float
    corrupt: float
    mixed: list[float]


def conflict_of(engine: Engine, case: Case, strengths: Sequence[float]) -> ConflictMargins:
    """Every strength of one pair.

    Args:
        engine: of the model.
        case: a field pair.
        strengths: of the clean notes.
    """
    pair = run_pair(engine, case, ())
    return ConflictMargins(pair.clean_margin, pair.corrupt_margin, conflict_margins(engine, pair, strengths))
