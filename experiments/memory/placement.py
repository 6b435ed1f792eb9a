"""Where a memory stands: accuracy of the full prefill by placement, regime, relevant settings and size."""

from __future__ import annotations

from experiments.memory.personas import Persona, questions
from experiments.memory.prompts import PLACEMENTS, Wording, lay, memory_text, talk
from experiments.memory.reading import FULL, Asked, PersonaRun, read, reasoned, said_after
from experiments.memory.settings import MemorySettings
from pkv_interp.memory import Conversation


def run_placement(persona: Persona, wording: Wording, settings: MemorySettings, reasons: bool) -> PersonaRun:
    """Ask a persona's questions with its memory before and after what was said; all of it is prefilled.

    Args:
        persona: that is asked about.
        wording: of the model.
        settings: how many settings decide, and the length of a chain of thought.
        reasons: ask for a chain of thought as well.
    """
    said = talk(settings.n_turns, settings.seed, persona.instance)
    own = wording.ids(memory_text(persona.memory()))
    asked: list[Asked] = []
    for placement in PLACEMENTS:
        laid = lay(wording, persona, placement, said)
        full = Conversation.begin(
            wording.loaded.model, wording.loaded.tokenizer, (*laid.before, *own, *laid.after)
        )
        for relevant in settings.relevant:
            for one in questions(persona, relevant, settings.seed, each=settings.each):
                # Answers at once are measured beside those that read back, in this part alone.
                for regime in dict.fromkeys(("direct", settings.readout)):
                    words = wording.question(laid.text, one, regime)
                    answer = said_after(wording, full.cache, words)
                    found = {FULL: read(wording, answer, None, full.length)}
                    held = persona.held(one.names)
                    asked.append(Asked(f"{placement} {regime}", relevant, one.gold, found, held))
                if reasons:
                    words = wording.question(laid.text, one, "reasoned")
                    thought = reasoned(full, words, settings.cot_tokens)
                    asked.append(Asked(f"{placement} reasoned", relevant, one.gold, {FULL: thought}))
    return PersonaRun(persona.instance, len(persona.settings), len(own), asked)
