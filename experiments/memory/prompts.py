"""How a memory, a conversation and a question are written for a model, and what stands in which order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from experiments.memory.personas import Persona, Question
from experiments.memory.settings import MemorySettings, Readout
from experiments.memory.words import (
    ANSWERS,
    ASK_DIRECT,
    ASK_REASONED,
    CUE,
    HEADING,
    RULES,
    SYSTEM,
    TURNS,
    VALUES,
)
from pkv_interp.composing import token_ids
from pkv_interp.editing.decision import option_ids
from pkv_interp.errors import PkvError
from pkv_interp.memory import Memory
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.notation import PROSE
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.rendering import Head, Renderer
from pkv_interp.prompts.segments import Message, Segment
from pkv_interp.streams import stream

#: Where the memory stands: before what was said, or after it.
Placement = Literal["early", "late"]
PLACEMENTS: tuple[Placement, ...] = ("early", "late")
#: A readout, or a chain of thought before the answer.
Regime = Readout | Literal["reasoned"]
#: An answer is read by its first token, where a tokenizer has none for the whole word.
READ = replace(PROSE, first_token=True)
_OPENING = "This is what you know so far.\n\n"


def memory_text(memory: Memory) -> str:
    """All that a memory says."""
    return "".join(segment.text for block in memory.blocks for segment in block)


def named(names: tuple[str, ...]) -> str:
    """The settings of a question in a sentence."""
    *before, last = [f"the {name}" for name in names]
    return f"{', '.join(before)} and {last}" if before else last


def rule_text(settings: str, several: bool, rule: str = "if") -> str:
    """What a question asks for.

    Args:
        settings: that decide, in words.
        several: there is more than one.
        rule: a name in `RULES`.
    """
    verb = "are all" if several else "is"
    return RULES[rule].format(**{"all": settings, "is": verb, "on": VALUES[0]})


@dataclass(frozen=True)
class Words:
    """Tokens of a question.

    Attributes:
        text: from the question to where the answer opens; with the cue of an answer at once.
        names: settings that are stated before the answer; () for an answer at once.
        cue: of the first of them; () where there is none.
    """

    text: tuple[int, ...]
    names: tuple[str, ...] = ()
    cue: tuple[int, ...] = ()

    @property
    def ids(self) -> tuple[int, ...]:
        """Up to the first token that the model says."""
        return (*self.text, *self.cue)


@dataclass(frozen=True, eq=False)
class Wording:
    """One model's way of writing.

    Attributes:
        loaded: the model.
        renderer: of its tokenizer and template.
        head: of all that stands before the memory, or before what was said.
        readout: how questions are answered where nothing else is asked for.
    """

    loaded: LoadedModel
    renderer: Renderer
    head: Head
    readout: Readout

    @classmethod
    def of(cls, loaded: LoadedModel, settings: MemorySettings) -> Wording:
        """Write what every prompt begins with.

        Raises:
            PkvError: the chat template changes the messages, or the tokenizer cannot tell the values apart
                that are to be read back.
        """
        renderer = Renderer(loaded.tokenizer, settings.chat, settings.model.thinking, ASK_DIRECT, READ)
        messages = (
            Message("system", (Segment("system", SYSTEM),)),
            Message("user", (Segment("conversation", _OPENING),)),
        )
        if settings.readout == "read_back":
            try:
                option_ids(renderer, read_back_cue("setting"), VALUES)
            except PkvError as error:
                told = f"{' and '.join(VALUES)} cannot be read back with this tokenizer: {error.cause}"
                raise PkvError(told, "set read_back=false") from error
        return cls(loaded, renderer, renderer.head(messages), settings.readout)

    @property
    def opening(self) -> tuple[int, ...]:
        """Tokens that every prompt begins with."""
        return self.head.prompt.ids

    def ids(self, text: str) -> tuple[int, ...]:
        """Tokens of a text that stands after others."""
        return token_ids(self.loaded.tokenizer, text) if text else ()

    def asked(
        self, before: str, question: str, names: tuple[str, ...] = (), regime: Regime = "direct"
    ) -> Words:
        """Tokens from the question to what the answer opens with, or to where a chain of thought begins.

        Args:
            before: what stands between the opening and the question.
            question: the rule.
            names: settings that are read back first, in a regime that does so.
            regime: what is asked for after it.
        """
        text = f"\n{question} {ASK_REASONED if regime == 'reasoned' else ASK_DIRECT}"
        text += self.renderer.tail(self.head, before + text)
        if regime == "read_back" and names:
            return Words(self.renderer.after(text), names, self.cue(names[0]))
        return Words(self.renderer.after(text + ("" if regime == "reasoned" else CUE)))

    def cue(self, name: str) -> tuple[int, ...]:
        """Tokens after which the value of a setting is read back."""
        return self.renderer.after(read_back_cue(name))

    @cached_property
    def answers(self) -> tuple[int, int]:
        """First tokens of yes and of no after the cue.

        Raises:
            PkvError: they share it.
        """
        yes, no = option_ids(self.renderer, CUE, ANSWERS)
        return yes, no

    @cached_property
    def whole_words(self) -> bool:
        """Whether each answer is one token after the cue."""
        before = len(self.renderer.after(CUE))
        return all(len(self.renderer.after(f"{CUE} {word}")) == before + 1 for word in ANSWERS)

    def question(self, before: str, asked: Question, regime: Regime | None = None, rule: str = "if") -> Words:
        """Tokens of a question about settings by their names.

        Args:
            before: what stands between the opening and the question.
            asked: the question.
            regime: what is asked for after the rule; None for the readout.
            rule: a name in `RULES`.
        """
        told = rule_text(named(asked.names), len(asked.names) > 1, rule)
        return self.asked(before, told, asked.names, regime or self.readout)


def talk(n_turns: int, seed: int, instance: str) -> str:
    """What was said in a conversation, which tells nothing of any setting; "" for no turn.

    Args:
        n_turns: exchanges; there are twelve, and they come again after that.
        seed: of the run.
        instance: of the persona whose conversation it is.
    """
    if not n_turns:
        return ""
    order = stream(seed, "memory", "talk", instance).permutation(len(TURNS))
    turns = [TURNS[int(order[i % len(TURNS)])] for i in range(n_turns)]
    return "".join([f"{HEADING}\n", *(f"User: {a}\nAssistant: {b}\n" for a, b in turns), "\n"])


@dataclass(frozen=True)
class Laid:
    """What stands around a memory.

    Attributes:
        before, after: tokens before and after it.
        text: all between the opening and the question.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    text: str


def lay(wording: Wording, persona: Persona, placement: Placement, said: str) -> Laid:
    """Put a persona's memory before or after what was said.

    Args:
        wording: of the model.
        persona: whose memory it is.
        placement: of the memory.
        said: in the conversation.
    """
    own = memory_text(persona.memory())
    ids = wording.ids(said)
    if placement == "late":
        return Laid((*wording.opening, *ids), (), said + own)
    return Laid(wording.opening, ids, own + said)
