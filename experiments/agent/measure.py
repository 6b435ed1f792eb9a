"""What the agent experiment measures: every arm over every episode, some of them in both layouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.agent.arms import EpisodeRun, run_arms
from experiments.agent.cases import Cases, build_cases, style_of
from experiments.agent.settings import AgentSettings
from pkv_interp.agent import Episode
from pkv_interp.cache.compute import Runner
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        episodes: of all cases, in the layout that was asked for.
        other_layout: of the cases that are run in both, with the session block on the policy's other side.
    """

    cases: Cases
    episodes: Stage[EpisodeRun]
    other_layout: Stage[EpisodeRun]


def measure(session: "Session[AgentSettings]") -> Measured:
    """Run every arm over every episode; the field's place decides what can be composed and refreshed."""
    settings, tokenizer = session.settings, session.tokenizer
    cases = build_cases(settings, tokenizer)
    if session.pattern() is not None:
        session.run.remarks.append(f"policies are blind under the pattern: sink={settings.sink} is not used")
    runner, tie = Runner.of(session.loaded.model), session.tolerance.routers
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(tokenizer("warm up", add_special_tokens=False)["input_ids"])

    def each(stage: str, chosen: Sequence[Episode], *, field_late: bool) -> Stage[EpisodeRun]:
        style = style_of(settings, field_late=field_late)
        return session.each(
            stage, chosen, lambda one: run_arms(runner, tokenizer, one, style, settings, tie), EpisodeRun
        )

    measured = Measured(
        cases,
        each("episodes", cases.all, field_late=settings.field_late),
        each("other layout", cases.both_layouts, field_late=not settings.field_late),
    )
    tied = sum(run.checks.tied for run in (*measured.episodes.all(), *measured.other_layout.all()))
    if tied:
        session.run.remarks.append(
            f"{tied} turns are left out of the controls: a router ties, and rounding chooses the experts"
        )
    return measured
