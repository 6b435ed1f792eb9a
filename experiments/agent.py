"""An agent whose policy is composed once and whose state is edited: does it act as one that re-reads all?

Episodes of several turns in domains whose state changes on the way. Tools enforce the state: an action that
was right before a change is refused after it, and success is what the tools say. The policy is spliced in
from a chunk that was prefilled by itself; at a change the field is computed again in place and an erratum is
appended; all else is kept from turn to turn. Source of the question: arXiv 2606.17107, the unified agent.
There the right word always comes first in the menu, right actions are written into the history and the state
is told again beside the decision; here menus are balanced, histories are each arm's own, and nothing but an
erratum, once, tells of a change.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt, field_validator
from rich.console import Console
from rich.progress import track

from experiments._agent_runs import Chunk, build_episodes, run_arms
from experiments._agent_summary import check, compare_layouts, summarise
from experiments._cli import Settings, entry
from experiments._fields import Draws, of_split
from experiments._setup import competence, open_model, run_on
from pkv_interp.agent import Episode
from pkv_interp.agent.episodes import FEWEST, MOST
from pkv_interp.cache.compute import Runner
from pkv_interp.composing.chunk import Sink
from pkv_interp.errors import PkvError
from pkv_interp.measure.competence import Decision
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.records import Run, RunRecord

#: Layouts by whether the session block with the field comes after the policy.
LAYOUTS = {True: "state behind the policy", False: "state before the policy"}


class AgentSettings(Settings):
    """Settings of this experiment; configs/agent.yaml says what each means."""

    domains: tuple[str, ...] | None
    instances: PositiveInt
    turns: Annotated[int, Field(ge=FEWEST, le=MOST)]
    n_fillers: NonNegativeInt
    n_preface: NonNegativeInt
    field_late: bool
    both_layouts: NonNegativeInt
    chat: bool
    erratum: str
    sink: Sink
    seam: NonNegativeInt
    competence_threshold: Annotated[float, Field(ge=0.0, le=1.0)]
    bootstrap_draws: Draws

    @field_validator("domains")
    @classmethod
    def _held_out_and_several(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return of_split(names, "held_out", 2)

    @field_validator("erratum")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            erratum_line("field", "value", name)
        except PkvError as error:
            raise ValueError(str(error)) from error
        return name


def agent(settings: AgentSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_on("agent", settings, lambda run: measure(settings, run, open_model(settings, run)))


def measure(settings: AgentSettings, run: Run, loaded: LoadedModel) -> None:
    """The experiment itself: episodes, every arm over each, controls, gate, summary."""
    runner, tokenizer = Runner.of(loaded.model), loaded.tokenizer
    episodes = build_episodes(settings, tokenizer)
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(tokenizer("warm up", add_special_tokens=False)["input_ids"])

    def each(name: str, chosen: Sequence[Episode], used: AgentSettings) -> list[Chunk]:
        return [
            run.chunk(f"{name}/{one.instance}", lambda one=one: run_arms(runner, tokenizer, one, used))
            for one in track(chosen, description=name, console=Console(stderr=True))
        ]

    chunks = each("episode", episodes, settings)
    # The same episodes in the other layout: the field's place decides what can be composed and refreshed.
    again = [i for i in range(len(episodes)) if i % settings.instances < settings.both_layouts]
    twice, turned = [episodes[i] for i in again], not settings.field_late
    other = each("other layout", twice, settings.model_copy(update={"field_late": turned}))
    check(run, [*chunks, *other], loaded.info.dtype)
    decided = [
        Decision(
            one.family.name,
            f"{one.instance}-{turn}",
            now.value == one.trigger,
            chunk["arms"]["full"]["margin"][turn],
            chunk["arms"]["full"]["right"][turn],
            chunk["arms"]["full"]["greedy_right"][turn],
        )
        for one, chunk in zip(episodes, chunks, strict=True)
        for turn, now in enumerate(one.turns)
    ]
    competence(
        run, decided, settings.competence_threshold, seed=settings.seed, draws=settings.bootstrap_draws
    )
    summarise(run, settings, episodes, chunks)
    if twice:
        found = {settings.field_late: [chunks[i] for i in again], turned: other}
        compare_layouts(run, settings, twice, {LAYOUTS[late]: found[late] for late in (True, False)})


main = entry("agent", AgentSettings)(agent)

if __name__ == "__main__":
    main()
