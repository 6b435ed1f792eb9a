"""Cache states of cases outside the scenario template."""

from dataclasses import dataclass

from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class TemplateStates:
    """Cache states of one field pair outside the template; margins in logits."""

    clean: float
    corrupt: float
    states: dict[str, float]
    decisions: list[Decision]


def score_template(engine: Engine, case: Case) -> TemplateStates:
    """Cache states of one field pair outside the template."""
    pair = run_pair(engine, case, ())
    return TemplateStates(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        states=cache_states(engine, pair),
        decisions=decisions(pair),
    )
