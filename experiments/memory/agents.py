"""Many turns with a memory that changes: spliced and edited, re-prefilled, behind a plain prefix cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from os.path import commonprefix

import torch

from experiments.memory.personas import Persona, Question, questions
from experiments.memory.prompts import Wording, Words, memory_text, talk
from experiments.memory.reading import FULL, Reading, answered, read
from experiments.memory.settings import MemorySettings
from experiments.memory.transplant import begun, compiled
from experiments.memory.words import VALUES
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.measure.timing import seconds
from pkv_interp.memory import CompiledMemory, Conversation
from pkv_interp.streams import stream

#: The memory last, spliced anew in each turn and edited where it changes.
SPLICED = "spliced"
#: The memory last, behind a prefix cache of what was said: its tokens run in each turn.
LAST = "prefix_cache_memory_last"
#: The memory first, behind a prefix cache of everything: all after a changed token runs anew.
FIRST = "prefix_cache_memory_first"
ARMS = (FULL, SPLICED, LAST, FIRST)


@dataclass(frozen=True)
class Turn:
    """One turn as it is played.

    Attributes:
        said: in the conversation since the turn before.
        change: the setting that changes before it, and whether it is on then.
        question: that is asked of the memory; None where the turn only goes on.
        persona: with the values of this turn.
    """

    said: str
    change: tuple[str, bool] | None
    question: Question | None
    persona: Persona

    @property
    def gold(self) -> bool | None:
        """Whether the answer is yes."""
        if self.question is None:
            return None
        return all(self.persona.values[name] for name in self.question.names)


@dataclass(frozen=True)
class ArmTurn:
    """One turn of an arm.

    Attributes:
        seconds: to the first token that the model says; on a CPU the process's own time over its threads.
        tokens: run in this turn, those of the question included.
        reading: of the question, or of the turn's end where none is asked.
    """

    seconds: float
    tokens: int
    reading: Reading


@dataclass(frozen=True)
class AgentTurn:
    """One turn under all arms; ``gold`` is None and ``values`` () where nothing is asked of the memory."""

    changed: bool
    gold: bool | None
    arms: dict[str, ArmTurn]
    values: tuple[bool, ...] = ()


@dataclass(frozen=True)
class AgentRun:
    """One conversation."""

    persona: str
    size: int
    turns: list[AgentTurn]


def episode(persona: Persona, settings: MemorySettings, number: int) -> list[Turn]:
    """The turns of a conversation: which one changes a setting, and what is asked in which.

    The first change before a question turns its answer; golds go round. A further one changes a setting that
    the question is not about.

    Args:
        persona: as it begins.
        settings: turns, questions and changes.
        number: of the conversation.
    """
    rng = stream(settings.seed, "memory", "agent", number)
    n, every = settings.agent_turns, settings.decide_every
    last = n - n % every
    changing = {int(t) for t in rng.permutation(last)[: round(settings.edit_rate * n)]}
    said = talk(n, settings.seed, persona.instance).split("User: ")
    turns: list[Turn] = []
    for begin in range(0, n, every):
        gap = range(begin, min(begin + every, n))
        decides = len(gap) == every
        changes = [turn for turn in gap if turn in changing]
        gold = (begin // every + number) % 2 == 0
        made = questions(persona, settings.agent_relevant, settings.seed + begin)
        # What the answer is before it is turned.
        asked = made[0] if gold != bool(changes) else made[1]
        for turn in gap:
            change: tuple[str, bool] | None = None
            if turn in changes:
                beside = persona.beside(asked.names)
                change = asked.toggled if turn == changes[0] else (beside, not persona.values[beside])
                persona = persona.changed(*change)
            closing = decides and turn == gap[-1]
            turns.append(Turn(f"User: {said[turn + 1]}", change, asked if closing else None, persona))
    return turns


@dataclass
class _Playing:
    """What each arm keeps from turn to turn.

    Attributes:
        memory: spliced in this turn.
        talked: what was said up to this turn.
        earlier: what was said up to the turn before.
        first: tokens and cache of the order with the memory first.
        method: of the edits.
    """

    memory: CompiledMemory
    talked: Conversation
    earlier: Conversation
    first: tuple[tuple[int, ...], FrozenCache]
    method: str

    @property
    def runner(self) -> Runner:
        return self.memory.runner

    def spliced(self, turn: Turn, said: tuple[int, ...], words: tuple[int, ...]) -> tuple[Computed, int]:
        """Edit where something changed, add what was said, splice, ask."""
        tokens = 0
        if turn.change is not None:
            name, on = turn.change
            self.memory = self.memory.update(name, VALUES[0] if on else VALUES[1], self.method)
            tokens = self.memory.cost.tokens
        self.earlier, self.talked = self.talked, self.talked.append(said)
        cache = self.talked.attach(self.memory).cache
        assert cache is not None
        return self.runner.extend(cache, words), tokens + len(said) + len(words)

    def whole(self, own: tuple[int, ...], words: tuple[int, ...]) -> tuple[Computed, int]:
        """Prefill everything."""
        ids = (*self.talked.ids, *own, *words)
        return self.runner.prefill(ids), len(ids)

    def last(
        self, said: tuple[int, ...], own: tuple[int, ...], words: tuple[int, ...]
    ) -> tuple[Computed, int]:
        """Run what is new, memory and question over the cache of what was said before."""
        cache = self.earlier.cache
        assert cache is not None
        ids = (*said, *own, *words)
        return self.runner.extend(cache, ids), len(ids)

    def ahead(self, ids: tuple[int, ...], words: tuple[int, ...]) -> tuple[Computed, int]:
        """Keep the longest beginning that is cached, run the rest and the question in one forward."""
        before, cache = self.first
        same = min(len(commonprefix([before, ids])), len(ids) - 1)
        done = self.runner.extend(cache.slice(0, same), (*ids[same:], *words))
        self.first = (ids, done.cache.slice(0, len(ids)))
        return done, len(ids) - same + len(words)


def run_agent(persona: Persona, number: int, wording: Wording, settings: MemorySettings) -> AgentRun:
    """Play one conversation under every arm, each with the tokens that it would have in its order.

    What is paid once is paid before the first turn: the memory prefilled alone, and the prefix cache of the
    order with the memory first.

    Args:
        persona: as it begins.
        number: of the conversation.
        wording: of the model.
        settings: turns, questions and changes.
    """
    memory = compiled(persona, wording)
    device = wording.loaded.model.device
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    begin = (*wording.opening, *memory.ids)
    opening = begun(wording, wording.opening)
    cached = (begin, memory.runner.prefill(begin).cache)
    playing = _Playing(memory, opening, opening, cached, settings.agent_edit)
    heard = ""
    turns: list[AgentTurn] = []
    for turn in episode(persona, settings, number):
        said, text = wording.ids(turn.said), memory_text(turn.persona.memory())
        heard += turn.said
        own, asked = wording.ids(text), _words(wording, turn, heard + text)
        words = asked.ids
        ids = (*wording.opening, *own, *playing.talked.ids[len(wording.opening) :], *said)
        # The spliced arm goes first: it is the one that adds what was said.
        works: dict[str, Callable[[], tuple[Computed, int]]] = {
            SPLICED: partial(playing.spliced, turn, said, words),
            FULL: partial(playing.whole, own, words),
            LAST: partial(playing.last, said, own, words),
            FIRST: partial(playing.ahead, ids, words),
        }
        # The first token alone is timed; what is read back before the answer comes after it.
        done = {arm: seconds(work, device) for arm, work in works.items()}
        told = {arm: answered(wording, begun, asked) for arm, (_, (begun, _)) in done.items()}
        arms = {
            arm: ArmTurn(
                took / threads,
                tokens,
                read(wording, told[arm], None if arm in (FULL, FIRST) else told[FULL], tokens),
            )
            for arm, (took, (_, tokens)) in done.items()
        }
        held = () if turn.question is None else turn.persona.held(turn.question.names)
        turns.append(AgentTurn(turn.change is not None, turn.gold, arms, held))
    return AgentRun(persona.instance, len(persona.settings), turns)


def _words(wording: Wording, turn: Turn, before: str) -> Words:
    """Words of the question, or of a line that asks nothing of the memory where the turn only goes on."""
    if turn.question is not None:
        return wording.question(before, turn.question)
    return wording.asked(before, "Go on with what was said.")
