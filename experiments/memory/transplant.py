"""A memory made once and spliced into a conversation, with seams, against the prefill of the same tokens."""

from __future__ import annotations

from experiments.memory.personas import Persona, questions
from experiments.memory.prompts import PLACEMENTS, Laid, Wording, lay, talk
from experiments.memory.reading import FULL, Asked, PersonaRun, read_arms
from experiments.memory.settings import MemorySettings
from pkv_interp.memory import CompiledMemory, Conversation
from pkv_interp.memory.splices import NO_ROTATION, seam_arm, unturned

#: No memory at all.
NO_MEMORY = "no_memory"


def compiled(persona: Persona, wording: Wording) -> CompiledMemory:
    """A persona's memory, prefilled alone."""
    return persona.memory().precompile(wording.loaded.model, wording.loaded.tokenizer)


def begun(wording: Wording, ids: tuple[int, ...]) -> Conversation:
    """A conversation that begins with these tokens."""
    return Conversation.begin(wording.loaded.model, wording.loaded.tokenizer, ids)


def appended(conversation: Conversation, ids: tuple[int, ...]) -> Conversation:
    """A conversation with more after it, if there is more."""
    return conversation.append(ids) if ids else conversation


def run_transplant(persona: Persona, wording: Wording, settings: MemorySettings) -> PersonaRun:
    """Ask a persona's questions of its memory in place, spliced, and spliced with seams."""
    memory = compiled(persona, wording)
    said = talk(settings.n_turns, settings.seed, persona.instance)
    asked: list[Asked] = []
    for placement in PLACEMENTS:
        laid = lay(wording, persona, placement, said)
        arms = spliced_arms(laid, memory, wording, settings.seams)
        costs = {arm: one.total.tokens for arm, one in arms.items()}
        for relevant in settings.edit_relevant:
            for one in questions(persona, relevant, settings.seed, each=settings.each):
                words = wording.question(laid.text, one)
                found = read_arms(wording, arms, words, costs)
                asked.append(Asked(placement, relevant, one.gold, found, persona.held(one.names)))
    return PersonaRun(persona.instance, len(persona.settings), memory.length, asked)


def spliced_arms(
    laid: Laid, memory: CompiledMemory, wording: Wording, seams: tuple[int, ...]
) -> dict[str, Conversation]:
    """Conversations with the memory in place, spliced by seam, with keys not turned, and without it.

    Args:
        laid: what stands around the memory.
        memory: as it was prefilled alone.
        wording: of the model.
        seams: first tokens that are run in their place.
    """
    opening = begun(wording, laid.before)
    arms = {FULL: begun(wording, (*laid.before, *memory.ids, *laid.after))}
    for k in seams:
        arms[seam_arm(k)] = appended(opening.attach(memory, seam=k), laid.after)
    arms[NO_ROTATION] = appended(unturned(opening, memory), laid.after)
    arms[NO_MEMORY] = appended(opening, laid.after)
    return arms
