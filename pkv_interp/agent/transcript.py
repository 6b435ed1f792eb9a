"""What the model is shown at one turn: notes, policy, state, tools, a log that only grows, the question.

The log holds what the tools said and, in arms that use them, errata. It stands after everything that is
kept and before the question, so that all of a turn's prompt but the question stays for the next one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pkv_interp.agent.episodes import Episode
from pkv_interp.agent.world import Outcome
from pkv_interp.cache import AttentionLayout
from pkv_interp.errors import PkvError
from pkv_interp.measure.patterns import pattern_layout
from pkv_interp.names import Pattern
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.prompts.segments import Prompt, Segment
from pkv_interp.tasks import Instance, Scenarios, Style, default_scenarios

Span = tuple[int, int]
HEADING = "Log\n"
PREFACE = "Notes of this session\n"
#: Kinds of the policy's tokens.
POLICY = frozenset({"rule", "trigger", "action", "filler"})


@dataclass(frozen=True)
class Transcript:
    """One turn of an episode as one arm sees it.

    Attributes:
        turn: counted from 0.
        value: the field's value as the session block states it.
        log: lines so far.
        scenarios: where rules and layouts come from.
        pattern: attention pattern that prompts are prefilled under; None: every token sees all before it.
    """

    episode: Episode
    style: Style
    turn: int
    value: str
    log: tuple[Segment, ...] = ()
    scenarios: Scenarios = field(default_factory=default_scenarios)
    pattern: Pattern | None = None

    @classmethod
    def open(
        cls,
        episode: Episode,
        style: Style,
        scenarios: Scenarios | None = None,
        pattern: Pattern | None = None,
    ) -> Transcript:
        """The first turn.

        Args:
            episode: to be run.
            style: how its prompts are laid out.
            scenarios: those that the episode was made from; None for the packaged ones.
            pattern: of the model, where its catalogue entry names one.
        """
        known = scenarios or default_scenarios()
        return cls(episode, style, 0, episode.turns[0].value, scenarios=known, pattern=pattern)

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
            name, value = self.episode.family.field, self.episode.turns[turn].value
            lines.append(Segment("update", erratum_line(name, value, erratum)))
        return replace(self, turn=turn, log=(*self.log, *lines))

    def prompt(self, tokenizer: Any) -> Prompt:
        """The whole prompt up to the decision token.

        Raises:
            PkvError: a template changes the text, or a span has no token of its own.
        """
        episode, now = self.episode, self.episode.turns[self.turn]
        chosen = replace(episode.chosen, record=now.record, menu=now.menu)
        instance = Instance(episode.family, self.turn, chosen, episode.wording, self.style, self.scenarios)
        # The layout may put its blocks into one user message or into several; the request is in the last.
        system, *between, last = instance.messages(value=self.value, trigger=episode.trigger)
        at = next(i for i, part in enumerate(last.segments) if part.name == "conversation")
        log = (Segment("conversation", HEADING), *self.log, Segment("conversation", "\n")) if self.log else ()
        preface = "".join(f"{sentence}\n" for sentence in episode.preface)
        notes = (Segment("session", f"{PREFACE}{preface}\n"),) if preface else ()
        last = replace(last, segments=(*last.segments[:at], *log, *last.segments[at:]))
        first, *others = (*between, last)
        first = replace(first, segments=(*notes, *first.segments))
        return instance.prompt((system, first, *others), tokenizer)


def attention_of(prompt: Prompt, pattern: Pattern | None, *, composed: bool) -> AttentionLayout | None:
    """Who sees whom in a turn's prompt; None where the model has no pattern.

    The field is isolated, and the request and what follows are the last block. The log is kept from turn to
    turn and is none of it: lines that had read the field would hold what it was. A policy that is composed is
    blind; one that is not is the field's link where it stands after it and the pattern asks so.

    Args:
        prompt: of the turn.
        pattern: of the model.
        composed: the policy is a chunk.
    """
    if pattern is None:
        return None
    end = prompt.spans["conversation"][0]
    if not composed:
        return pattern_layout(prompt, ("field",), pattern, end)
    made = pattern_layout(prompt, ("field",), "isolated", end)
    assert made is not None  # the field stands before the request
    return replace(made, blind=(policy_span(prompt),))


def policy_span(prompt: Prompt) -> Span:
    """The policy: rule and neutral sentences, from its heading to whatever the layout puts next to it."""
    start = next(i for i, kind in enumerate(prompt.kinds) if kind in POLICY)
    return start, next(i for i in range(start, len(prompt)) if prompt.kinds[i] not in POLICY)


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
