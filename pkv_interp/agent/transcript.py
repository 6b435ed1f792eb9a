"""What the model is shown at one turn: notes, policy, state, tools, a log that only grows, the question.

The log holds what the tools said and, in arms that use them, errata. It stands after everything that is
kept and before the question, so that all of a turn's prompt but the question stays for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pkv_interp.agent.episodes import Episode
from pkv_interp.agent.world import Outcome
from pkv_interp.errors import PkvError
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.prompts.segments import Prompt, Segment, build
from pkv_interp.tasks import Instance, Style

Span = tuple[int, int]
HEADING = "Log\n"
PREFACE = "Notes of this session\n"


@dataclass(frozen=True)
class Transcript:
    """One turn of an episode as one arm sees it.

    Attributes:
        turn: counted from 0.
        value: the field's value as the session block states it.
        log: lines so far.
    """

    episode: Episode
    style: Style
    turn: int
    value: str
    log: tuple[Segment, ...] = ()

    @classmethod
    def open(cls, episode: Episode, style: Style) -> Transcript:
        """The first turn."""
        return cls(episode, style, 0, episode.turns[0].value)

    def stating(self, value: str) -> Transcript:
        """The same turn whose session block states another value."""
        return replace(self, value=value)

    def then(self, outcome: Outcome, erratum: str | None = None) -> Transcript:
        """The next turn: what the tool said goes into the log.

        Args:
            outcome: what the tool said.
            erratum: wording of a line with the world's new value (`erratum_line`); None for no such line.
        """
        turn = self.turn + 1
        lines = [Segment("conversation", f"{outcome.text}\n")]
        if erratum is not None:
            field, value = self.episode.family.field, self.episode.turns[turn].value
            lines.append(Segment("update", erratum_line(field, value, erratum)))
        return replace(self, turn=turn, log=(*self.log, *lines))

    def prompt(self, tokenizer: Any) -> Prompt:
        """The whole prompt up to the decision token.

        Raises:
            PkvError: a template changes the text, or a span has no token of its own.
        """
        episode, now = self.episode, self.episode.turns[self.turn]
        chosen = replace(episode.chosen, record=now.record, menu=now.menu)
        instance = Instance(episode.family, self.turn, chosen, episode.wording, self.style)
        system, user = instance.messages(value=self.value, trigger=episode.trigger)
        at = next(i for i, part in enumerate(user.segments) if part.name == "conversation")
        log = (Segment("conversation", HEADING), *self.log, Segment("conversation", "\n")) if self.log else ()
        preface = "".join(f"{sentence}\n" for sentence in episode.preface)
        notes = (Segment("session", f"{PREFACE}{preface}\n"),) if preface else ()
        parts = (*notes, *user.segments[:at], *log, *user.segments[at:])
        return build(
            (system, replace(user, segments=parts)),
            Segment("decision", self.style.cue, "decision"),
            tokenizer,
            chat=self.style.chat,
            thinking=self.style.thinking,
        )


def policy_span(prompt: Prompt) -> Span:
    """The policy, from its heading to what follows it: tools, or a session block that comes later."""
    start = prompt.kinds.index("rule")
    ends = ("session", "tools")
    return start, next(i for i in range(start, len(prompt)) if prompt.kinds[i] in ends)


def field_span(opening: Transcript, tokenizer: Any) -> Span:
    """The field in the session block, the same for both values and at every turn.

    Raises:
        PkvError: the prompts of the two values do not align.
    """
    first, second = (opening.stating(value).prompt(tokenizer) for value in opening.episode.values)
    if len(first) != len(second) or first.spans != second.spans:
        raise PkvError(
            f"the prompts of '{opening.episode.family.name}' do not align",
            "choose values that tokenise to one length",
        )
    return first.spans["field"]
