"""A memory made as more and more blocks that never read one another, and lines that refer to other lines."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.memory.personas import Persona, Setting, line_of, questions
from experiments.memory.prompts import Wording, lay, memory_text, rule_text, talk
from experiments.memory.reading import FULL, Asked, PersonaRun, read_arms
from experiments.memory.settings import MemorySettings
from experiments.memory.transplant import begun
from experiments.memory.words import ALIASES, DEFINITION, REFERRED, TITLE
from pkv_interp.memory import CompiledMemory, Conversation, Memory, field
from pkv_interp.memory.splices import seam_arm
from pkv_interp.streams import stream

#: Lines of the settings that a question is about: as close as there are, or as far apart.
NEAR, FAR = "near", "far"
#: A question that needs both lines, and one that needs the second alone.
NEEDS_BOTH, NEEDS_ONE = "referred", "independent"
#: Where a memory is cut in two: between the two lines, or after both.
BETWEEN, AFTER = "between", "after"


def blocks_arm(n: int) -> str:
    """Name of the arm whose memory is made as ``n`` blocks."""
    return f"blocks{n}"


def run_blocks(persona: Persona, wording: Wording, settings: MemorySettings) -> PersonaRun:
    """Ask of a memory in more and more blocks about settings near one another and far apart."""
    said = talk(settings.n_turns, settings.seed, persona.instance)
    laid = lay(wording, persona, "late", said)
    whole, opening = persona.memory(), begun(wording, laid.before)
    loaded = wording.loaded
    full = begun(wording, (*laid.before, *wording.ids(memory_text(whole))))
    arms: dict[str, Conversation] = {FULL: full}
    costs = {FULL: full.length}
    for n in settings.blocks:
        memory = whole.split(n).precompile(loaded.model, loaded.tokenizer)
        arms[blocks_arm(n)] = opening.attach(memory)
        # An edit that is exact runs the block that the setting stands in.
        costs[blocks_arm(n)] = round(sum(block.length for block in memory.blocks) / n)
    asked: list[Asked] = []
    for relevant in settings.edit_relevant:
        for condition in (NEAR, FAR) if relevant > 1 else (NEAR,):
            for one in questions(persona, relevant, settings.seed, near=condition == NEAR):
                words = wording.question(laid.text, one)
                found = read_arms(wording, arms, words, costs)
                asked.append(Asked(condition, relevant, one.gold, found, persona.held(one.names)))
    return PersonaRun(persona.instance, len(persona.settings), len(full.ids) - len(laid.before), asked)


def referring(persona: Persona, alias: str, target: Setting) -> tuple[list[tuple[object, ...]], int]:
    """The lines of a persona with a definition in their middle, followed by the line that it refers to.

    Args:
        persona: with the target among its settings.
        alias: that the definition gives a meaning to.
        target: the setting that it refers to.

    Returns:
        The lines, and the place of the definition.
    """
    others = [line_of(one) for one in persona.settings if one.name != target.name]
    at = len(others) // 2
    definition = (DEFINITION.format(alias=alias), field(alias, target.name), "\n")
    return [*others[:at], definition, line_of(target), *others[at:]], at


def cut(lines: Sequence[tuple[object, ...]], at: int) -> Memory:
    """A memory of two blocks, the second of which begins with a line.

    Args:
        lines: of both.
        at: place of that line.
    """
    parts = [[part for line in some for part in line] for some in (lines[:at], lines[at:])]
    return Memory(parts, title=TITLE)


def referred_arm(where: str, seam: int) -> str:
    """Name of the arm that is cut at a place and has a seam."""
    return where if not seam else f"{where} {seam_arm(seam)}"


def run_references(persona: Persona, wording: Wording, settings: MemorySettings) -> PersonaRun:
    """A definition and the line that it refers to, in one block and in two, with the target on and off."""
    rng = stream(settings.seed, "memory", "references", persona.instance)
    alias = ALIASES[int(rng.integers(len(ALIASES)))]
    name = persona.settings[int(rng.integers(len(persona.settings)))].name
    said = talk(settings.n_turns, settings.seed, persona.instance)
    asked: list[Asked] = []
    length = 0
    for on in (True, False):
        version = persona.changed(name, on)
        target = next(one for one in version.settings if one.name == name)
        lines, at = referring(version, alias, target)
        laid = lay(wording, version, "late", said)
        opening = begun(wording, laid.before)
        arms, costs, length = _cuts(lines, at, opening, wording, settings)
        before = said + memory_text(cut(lines, at))
        for condition, told, names in (
            # To state the setting that is referred to would say which one that is: this is answered at once.
            (NEEDS_BOTH, REFERRED.format(alias=f"the {alias}"), ()),
            (NEEDS_ONE, f"the {name}", (name,)),
        ):
            words = wording.asked(before, rule_text(told, several=False), names, wording.readout)
            found = read_arms(wording, arms, words, costs)
            asked.append(Asked(condition, 1, on, found, version.held(names)))
    return PersonaRun(persona.instance, len(persona.settings), length, asked)


def _cuts(
    lines: list[tuple[object, ...]],
    at: int,
    opening: Conversation,
    wording: Wording,
    settings: MemorySettings,
) -> tuple[dict[str, Conversation], dict[str, int], int]:
    """The same text in place and cut at both places, with every seam; tokens run; tokens of the memory."""
    loaded = wording.loaded
    made: dict[str, CompiledMemory] = {
        where: cut(lines, place).precompile(loaded.model, loaded.tokenizer)
        for where, place in ((BETWEEN, at + 1), (AFTER, at + 2))
    }
    full = begun(wording, (*opening.ids, *made[BETWEEN].ids))
    arms, costs = {FULL: full}, {FULL: full.length}
    for where, memory in made.items():
        for seam in settings.reference_seams:
            arm = referred_arm(where, seam)
            arms[arm] = opening.attach(memory, seam=seam)
            costs[arm] = arms[arm].cost.tokens
    return arms, costs, made[BETWEEN].length
