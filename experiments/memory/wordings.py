"""Other wordings of the rule and of the erratum; edits of a prefilled memory beside a spliced one's."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.memory.edits import STALE, Scene, asked_after, toggled
from experiments.memory.personas import Persona, questions
from experiments.memory.prompts import READ, Wording, named, rule_text
from experiments.memory.reading import Asked, PersonaRun, read, read_arms, said_after
from experiments.memory.settings import MEMORY_METHODS, MemorySettings
from experiments.memory.transplant import begun
from experiments.memory.words import ASK_DIRECT, CUE, RULES, VALUES
from pkv_interp.editing import EditableContext
from pkv_interp.engine import Engine
from pkv_interp.measure.edit_decisions import clamped
from pkv_interp.memory import Conversation
from pkv_interp.prompts.errata import ERRATA
from pkv_interp.prompts.segments import Message, Segment

#: Conditions of the wordings: how the rule is written, and how the erratum.
RULE, ERRATUM = "rule", "erratum"
#: Methods that are made on a prefilled memory and on a spliced one.
BOTH = ("in_place", "recompute@1", "recompute@4", "recompute@16", "recompile")


def run_wordings(persona: Persona, wording: Wording, settings: MemorySettings) -> PersonaRun:
    """Ask by every wording of the rule, and correct by every wording of the erratum."""
    scene = Scene.of(persona, wording, settings)
    asked: list[Asked] = []
    for relevant in settings.edit_relevant:
        for one in questions(persona, relevant, settings.seed):
            name, on = one.toggled
            value = VALUES[0] if on else VALUES[1]
            new, alone = scene.memory.update(name, value), scene.memory.update(name, value, "in_place")
            whole = begun(wording, (*scene.laid.before, *new.ids))
            arms: dict[str, Conversation] = {"full": whole, "spliced": scene.opening.attach(new)}
            arms["in_place"] = scene.opening.attach(alone)
            costs = {"full": whole.length, "spliced": new.cost.tokens, "in_place": alone.cost.tokens}
            held = persona.changed(name, on).held(one.names)
            gold = all(held)
            for rule in RULES:
                words = wording.question(scene.laid.text, one, rule=rule)
                readings = read_arms(wording, arms, words, costs)
                asked.append(Asked(f"{RULE} {rule}", relevant, gold, readings, held))
            words = wording.question(scene.laid.text, one)
            told = {told: scene.memory.update(name, value, "erratum", wording=told) for told in ERRATA}
            corrected = {"full": whole, **{k: scene.opening.attach(made) for k, made in told.items()}}
            costs = {"full": whole.length, **{k: made.cost.tokens for k, made in told.items()}}
            readings = read_arms(wording, corrected, words, costs)
            asked.append(Asked(ERRATUM, relevant, gold, readings, held))
    return PersonaRun(persona.instance, len(persona.settings), scene.memory.length, asked)


@dataclass(frozen=True)
class Both:
    """One edit on two caches: margins towards the answer after it, in logits.

    Attributes:
        relevant: settings that decide.
        same_tokens: both caches are of the same tokens.
        prefilled: by method, with ``stale`` for the old value and ``new`` for the new one, of a memory that
            was prefilled in the conversation.
        spliced: the same of one that was made alone and spliced.
        tokens: run by method.
    """

    relevant: int
    same_tokens: bool
    prefilled: dict[str, float]
    spliced: dict[str, float]
    tokens: dict[str, int]


@dataclass(frozen=True)
class PersonaEdits:
    """The edits of one persona."""

    persona: str
    edits: list[Both]


def run_both(persona: Persona, wording: Wording, engine: Engine, settings: MemorySettings) -> PersonaEdits:
    """Make each edit inside a prefilled memory and inside a spliced one."""
    scene = Scene.of(persona, wording, settings)
    made: list[Both] = []
    for relevant in settings.edit_relevant:
        for one in questions(persona, relevant, settings.seed):
            name, on = one.toggled
            found = toggled(scene, one, one.toggled, BOTH, engine)
            asked = asked_after(scene, one, one.toggled, found, RULE)
            sign = 1.0 if asked.gold else -1.0
            spliced = {method: sign * reading.margin for method, reading in asked.readings.items()}
            spliced = {
                "stale": spliced["stale"],
                "new": spliced["recompile"],
                **{m: spliced[m] for m in BOTH},
            }
            context = _context(scene, rule_text(named(one.names), relevant > 1), settings)
            old = context.prefill()
            value = VALUES[0] if on else VALUES[1]
            moved = old.spans[name][1] - scene.memory.blocks[0].state.spans[name][1]
            words = wording.question(scene.laid.text, one)
            ranked = [at + moved for at in scene.ranking(name, words, engine)]
            prefilled = {STALE: sign * read(wording, said_after(wording, old.cache, words)).margin}
            for method in BOTH:
                some = method.startswith("recompute@")
                called = clamped(method, len(ranked)) if some else MEMORY_METHODS[method]
                state = old.edit(name, value, called, **({"ranking": ranked} if some else {}))
                said = said_after(wording, state.cache, words)
                prefilled[method] = sign * read(wording, said).margin
            prefilled["new"] = prefilled["recompile"]
            made.append(
                Both(
                    relevant,
                    old.ids == scene.opening.attach(scene.memory).ids,
                    prefilled,
                    spliced,
                    {method: tokens for method, (_, tokens) in found.items()},
                )
            )
    return PersonaEdits(persona.instance, made)


def _context(scene: Scene, rule: str, settings: MemorySettings) -> EditableContext:
    """The scene's conversation as one text with fields, whose memory is prefilled where it stands."""
    loaded = scene.wording.loaded
    system, opening = scene.wording.head.messages
    said = scene.laid.text[: scene.laid.text.index(_text(scene))]
    (block,) = scene.persona.memory().blocks
    user = Message("user", (*opening.segments, *((Segment("conversation", said),) if said else ()), *block))
    context = EditableContext(
        loaded.model,
        loaded.tokenizer,
        (system, user),
        f"\n{rule} {ASK_DIRECT}",
        CUE,
        settings.chat,
        settings.model.thinking,
    )
    return context.in_notation(READ)


def _text(scene: Scene) -> str:
    (block,) = scene.persona.memory().blocks
    return "".join(segment.text for segment in block)
