"""What is measured: the decision on both prompts of every pair, in every layout."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.layouts.cases import build_cases
from experiments.layouts.settings import LayoutsSettings
from pkv_interp.measure.layout_choice import LayoutPair, run_layout_case
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured: every pair, layout by layout."""

    pairs: Stage[LayoutPair]


def measure(session: "Session[LayoutsSettings]") -> Measured:
    """Check the engine on the first and the last pair, then run all of them."""
    cases, left_out = build_cases(session.settings, session.tokenizer)
    if left_out:
        name = session.settings.model.name
        session.run.remarks.append(
            f"left out, being chats, since {name} has no chat template: {', '.join(left_out)}"
        )
    made = [one.case for one in cases if one.case is not None]
    if len(made) < len(cases):
        lost = len(cases) - len(made)
        session.run.remarks.append(
            f"{lost} of {len(cases)} pairs cannot be made under this tokenizer and count as wrong"
        )
    session.check_engine([made[0], made[-1]])
    engine = session.engine
    return Measured(session.each("pairs", cases, lambda one: run_layout_case(engine, one), LayoutPair))
