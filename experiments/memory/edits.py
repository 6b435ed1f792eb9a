"""One setting toggled in a memory that is spliced: every method, and how many tokens are recomputed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.memory.personas import Persona, Question, questions
from experiments.memory.prompts import Laid, Wording, Words, lay, named, rule_text, talk
from experiments.memory.reading import FULL, Asked, PersonaRun, read_arms
from experiments.memory.settings import MemorySettings
from experiments.memory.transplant import begun, compiled
from experiments.memory.words import ANSWERS, ASK_DIRECT, CUE, VALUES
from pkv_interp.engine import Engine
from pkv_interp.measure.edit_decisions import clamped
from pkv_interp.memory import CompiledMemory, Conversation

#: The memory as it was before the edit.
STALE = "stale"
#: What was toggled: a setting that decides, or one that does not.
RELEVANT, IRRELEVANT = "relevant", "irrelevant"


@dataclass(frozen=True, eq=False)
class Scene:
    """A conversation in which a persona's memory stands last, before a question.

    Attributes:
        persona: whose memory it is.
        memory: as it was prefilled alone.
        opening: what stands before it.
        laid: the same as tokens, and all of it as text.
        wording: of the model.
    """

    persona: Persona
    memory: CompiledMemory
    opening: Conversation
    laid: Laid
    wording: Wording

    @classmethod
    def of(cls, persona: Persona, wording: Wording, settings: MemorySettings) -> Scene:
        """Prefill the memory alone, and what was said before it."""
        said = talk(settings.n_turns, settings.seed, persona.instance)
        laid = lay(wording, persona, "late", said)
        return cls(persona, compiled(persona, wording), begun(wording, laid.before), laid, wording)

    def ranking(self, setting: str, words: Words, engine: Engine) -> list[int]:
        """Positions after a setting's value, most attended over the stale memory first.

        Attended by the token that says the answer, or, where settings are read back, that says this one.

        It needs one run of the question over what is there, and nothing of the new value. Personas share no
        line, so that nothing could be learned on others.

        Args:
            setting: that is to be toggled.
            words: of the question.
            engine: of the model.
        """
        asked = (*words.text, *self.wording.cue(setting)) if words.names else words.ids
        (block,) = self.memory.blocks
        stale = self.opening.attach(self.memory)
        assert stale.cache is not None
        read = engine.open((*stale.ids, *asked), stale.cache, {"attention"})
        weights = read.need("attn").double().mean((0, 1)).tolist()
        after = range(block.state.spans[setting][1], len(block.state.ids))
        moved = self.opening.length - block.start
        return sorted(after, key=lambda at: -weights[at + moved])


def toggled(
    scene: Scene, question: Question, change: tuple[str, bool], methods: Sequence[str], engine: Engine
) -> dict[str, tuple[Conversation, int]]:
    """Conversations with a setting's other value, by method, each with the tokens that it ran for it.

    Args:
        scene: the conversation.
        question: that is asked after the edit.
        change: the setting, and whether it is on after the edit.
        methods: of the memory's ``update``.
        engine: of the model; reads attention for methods that recompute some tokens.
    """
    setting, on = change
    value = VALUES[0] if on else VALUES[1]
    words = scene.wording.question(scene.laid.text, question)
    new = scene.memory.update(setting, value, "recompile")
    whole = begun(scene.wording, (*scene.laid.before, *new.ids))
    found = {FULL: (whole, whole.length), STALE: (scene.opening.attach(scene.memory), 0)}
    ranked: list[int] = []
    for method in methods:
        if method == "recompile":
            found[method] = (scene.opening.attach(new), new.cost.tokens)
            continue
        called: str = method
        more: dict[str, Any] = {}
        if method.startswith("recompute@"):
            ranked = ranked or scene.ranking(setting, words, engine)
            called = clamped(method, len(ranked))
            more = {"ranking": ranked}
        elif method == "auto":
            rule = rule_text(named(question.names), len(question.names) > 1)
            more = {"question": f"\n{rule} {ASK_DIRECT}", "cue": f"\n{CUE}"}
            # Without options the likeliest next token is compared.
            more |= {"options": ANSWERS} if scene.wording.whole_words else {}
        made = scene.memory.update(setting, value, called, **more)
        found[method] = (scene.opening.attach(made), made.cost.tokens)
    return found


def asked_after(
    scene: Scene,
    question: Question,
    change: tuple[str, bool],
    found: dict[str, tuple[Conversation, int]],
    condition: str,
) -> Asked:
    """The question after the edit, under every method; its gold answer is that of the new values.

    Args:
        scene: the conversation.
        question: as it was about the old values.
        change: the setting, and whether it is on after the edit.
        found: conversations and tokens by method.
        condition: what was toggled.
    """
    held = scene.persona.changed(*change).held(question.names)
    words = scene.wording.question(scene.laid.text, question)
    readings = read_arms(
        scene.wording,
        {method: one for method, (one, _) in found.items()},
        words,
        {method: tokens for method, (_, tokens) in found.items()},
    )
    return Asked(condition, len(question.names), all(held), readings, held)


def run_edits(persona: Persona, wording: Wording, engine: Engine, settings: MemorySettings) -> PersonaRun:
    """Toggle a setting that turns each question's answer, and one that must not."""
    scene = Scene.of(persona, wording, settings)
    asked: list[Asked] = []
    for relevant in settings.edit_relevant:
        for one in questions(persona, relevant, settings.seed, each=settings.each):
            beside = persona.beside(one.names)
            changes = {RELEVANT: one.toggled, IRRELEVANT: (beside, not persona.values[beside])}
            for condition, change in changes.items():
                found = toggled(scene, one, change, settings.edits, engine)
                asked.append(asked_after(scene, one, change, found, condition))
    return PersonaRun(persona.instance, len(persona.settings), scene.memory.length, asked)


def run_amounts(persona: Persona, wording: Wording, engine: Engine, settings: MemorySettings) -> PersonaRun:
    """Toggle a setting that turns the answer and recompute more and more of what comes after it."""
    scene = Scene.of(persona, wording, settings)
    asked: list[Asked] = []
    for relevant in settings.edit_relevant:
        for one in questions(persona, relevant, settings.seed):
            setting = one.toggled[0]
            (block,) = scene.memory.blocks
            most = len(block.state.ids) - block.state.spans[setting][1]
            amounts = [f"recompute@{k}" for k in settings.amounts if k <= most]
            methods = ("in_place", *amounts, "recompute@all", "recompile")
            found = toggled(scene, one, one.toggled, methods, engine)
            asked.append(asked_after(scene, one, one.toggled, found, RELEVANT))
    return PersonaRun(persona.instance, len(persona.settings), scene.memory.length, asked)
