"""What the experiment on memories measures: each part over its personas, each stored as it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from experiments.memory.agents import AgentRun, run_agent
from experiments.memory.blocks import run_blocks, run_references
from experiments.memory.checks import check_agents, check_memory
from experiments.memory.edits import run_amounts, run_edits
from experiments.memory.personas import Persona, persona, questions
from experiments.memory.placement import run_placement
from experiments.memory.prompts import Wording, lay, memory_text, talk
from experiments.memory.reading import FULL, PersonaRun
from experiments.memory.transplant import run_transplant
from experiments.memory.wordings import PersonaEdits, run_both, run_wordings
from experiments.memory.words import VALUES
from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError

if TYPE_CHECKING:
    from experiments.memory.settings import MemorySettings
    from pkv_interp.run.session import Session

T = TypeVar("T")


@dataclass(frozen=True)
class Measured:
    """All that was measured, a list of personas for each part.

    Attributes:
        placement: the full prefill by placement, relevant settings and size.
        transplant: the memory spliced, with seams.
        edits: one setting toggled, by every method.
        blocks: the memory in more and more blocks.
        references: a definition and the line that it refers to, cut apart.
        agents: conversations of many turns.
        amounts: more and more tokens recomputed after a setting.
        wordings: of the rule and of the erratum.
        inside: edits of a prefilled and of a spliced memory.
    """

    placement: list[PersonaRun]
    transplant: list[PersonaRun]
    edits: list[PersonaRun]
    blocks: list[PersonaRun]
    references: list[PersonaRun]
    agents: list[AgentRun]
    amounts: list[PersonaRun]
    wordings: list[PersonaRun]
    inside: list[PersonaEdits]


def measure(session: Session[MemorySettings]) -> Measured:
    """Check what is known, then run the parts."""
    settings = session.settings
    every = {size: _personas(settings, size, settings.personas) for size in settings.sizes}
    wording = Wording.of(session.loaded, settings)
    sizes = fitting(every, wording, settings)
    session.run.remarks += cut_remarks(sizes, settings, _served(wording))
    placed = [one for size in sizes for one in every[size]]
    own = every[settings.size]
    few = own[: settings.sweep_personas]
    check_memory(session, placed, wording)
    engine = session.engine

    def each(stage: str, some: Sequence[Persona], run: Callable[[Persona], T], kind: type[T]) -> list[T]:
        return session.each(stage, some, run, kind).of(some)

    reasoning = {one.instance for size in sizes[:1] for one in every[size][: settings.cot_personas]}
    agents = own[: settings.agents]
    found = Measured(
        placement=each(
            "placement",
            placed,
            lambda one: run_placement(one, wording, settings, one.instance in reasoning),
            PersonaRun,
        ),
        edits=each("edits", own, lambda one: run_edits(one, wording, engine, settings), PersonaRun),
        transplant=each("transplant", own, lambda one: run_transplant(one, wording, settings), PersonaRun),
        blocks=each(
            "blocks",
            _personas(settings, settings.block_size, settings.block_personas),
            lambda one: run_blocks(one, wording, settings),
            PersonaRun,
        ),
        references=each(
            "references",
            _personas(settings, settings.reference_size, settings.personas),
            lambda one: run_references(one, wording, settings),
            PersonaRun,
        ),
        agents=each(
            "agents",
            agents,
            lambda one: run_agent(one, agents.index(one), wording, settings),
            AgentRun,
        ),
        amounts=each("amounts", few, lambda one: run_amounts(one, wording, engine, settings), PersonaRun),
        wordings=each("wordings", few, lambda one: run_wordings(one, wording, settings), PersonaRun),
        inside=each("inside", few, lambda one: run_both(one, wording, engine, settings), PersonaEdits),
    )
    check_agents(session, found.agents)
    session.run.remarks += answers_remark(found.placement, settings)
    return found


def _personas(settings: MemorySettings, size: int, n: int) -> list[Persona]:
    """The first personas of a size; questions about all of them are drawn, so that none is refused later."""
    made = [persona(settings.seed, number, size) for number in range(n)]
    asked = (
        max(*settings.relevant, *settings.edit_relevant) if size == settings.size else settings.relevant[0]
    )
    for one in made:
        questions(one, asked, settings.seed)
    return made


def _served(wording: Wording) -> int | None:
    return Runner.of(wording.loaded.model).positions.served


def fitting(every: dict[int, list[Persona]], wording: Wording, settings: MemorySettings) -> tuple[int, ...]:
    """The sizes whose prompts the model's positions hold.

    Args:
        every: personas by size.
        wording: of the model.
        settings: of the rest of the prompts.

    Raises:
        PkvError: not even the smallest one fits.
    """
    served = _served(wording)
    kept = tuple(
        size
        for size, personas in every.items()
        if served is None or max(prompt_tokens(one, wording, settings) for one in personas) <= served
    )
    if settings.size not in kept:
        raise PkvError(
            f"a persona of {settings.size} settings needs more than the {served} positions of the model",
            "ask for smaller sizes, or use a model that serves more",
        )
    return kept


def prompt_tokens(one: Persona, wording: Wording, settings: MemorySettings) -> int:
    """Tokens of a persona's longest prompt and of the longest answer to it."""
    said = talk(settings.n_turns, settings.seed, one.instance)
    laid = lay(wording, one, "late", said)
    asked = questions(one, settings.relevant[-1], settings.seed)[0]
    words = wording.question(laid.text, asked, "reasoned")
    own = wording.ids(memory_text(one.memory()))
    told = wording.question(laid.text, asked)
    # A stated setting is its value, a line break and the next cue.
    lines = sum(len(wording.ids(f" {VALUES[1]}\n{name}:")) for name in told.names)
    longest = max(len(words.ids) + settings.cot_tokens, len(told.ids) + lines)
    return len(laid.before) + len(own) + longest


def cut_remarks(sizes: Sequence[int], settings: MemorySettings, served: int | None) -> list[str]:
    """What the positions of the model left out, and what a run of these sizes does not reach.

    Args:
        sizes: that are measured.
        settings: of the run.
        served: positions of the model.
    """
    left = [str(size) for size in settings.sizes if size not in sizes]
    told: list[str] = []
    if left:
        told.append(
            f"personas of {', '.join(left)} settings are left out: they need more than the {served} "
            f"positions of {settings.model.name}"
        )
    told.append(
        f"personas of {', '.join(map(str, sizes))} settings are measured; "
        "published ones have 24, 120, 880 and 1700"
    )
    if settings.cot_personas:
        told.append(
            f"a chain of thought of at most {settings.cot_tokens} tokens is asked of {settings.cot_personas} "
            f"personas of {settings.size} settings"
        )
    return told


def answers_remark(runs: Sequence[PersonaRun], settings: MemorySettings) -> list[str]:
    """That a model answers every question alike, where it does: then nothing it decides is evidence.

    Args:
        runs: all personas of the placement.
        settings: name the model and the readout.
    """
    told = [one for run in runs for one in run.asked if one.condition.endswith(settings.readout)]
    said = {one.readings[FULL].yes for one in told}
    if len(said) > 1:
        return []
    answer = "yes" if True in said else "no"
    return [
        f"{settings.model.name} answers all {len(told)} questions with {answer}: this is a record of the "
        "machinery; read the distances of logits, exact edits, tokens and time"
    ]
