"""A user's visit: records in states that change on the way, requests about them, and the prompt of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pkv_interp.agent.tau2.records import Gated
from pkv_interp.errors import PkvError
from pkv_interp.prompts.errata import erratum_line
from pkv_interp.prompts.segments import Message, Prompt, Segment, build

Span = tuple[int, int]
SYSTEM = "You are a customer service agent. Act as the policy says."
CUE = "Action:"


@dataclass(frozen=True)
class Request:
    """One turn.

    Attributes:
        record: index of the record that it is about.
        changed: its state changes right before, from outside the conversation.
        first: index of the action that the menu names first.
        looked_up: the record is looked up anew right before, and the log says what state the tool tells.
    """

    record: int
    changed: bool
    first: int
    looked_up: bool = False


@dataclass(frozen=True)
class Visit:
    """One session with one user.

    Attributes:
        instance: unique in its stage.
        records: all of one domain, topic and user.
        starts: index of each record's state when the session opens.
        requests: the turns.
        policy: text of the policy, as it stands in the package.
        preface: lines before the policy, of which sessions have different numbers.
    """

    instance: str
    records: tuple[Gated, ...]
    starts: tuple[int, ...]
    requests: tuple[Request, ...]
    policy: str
    preface: tuple[str, ...] = ()

    @property
    def user(self) -> str:
        """Whose visit it is."""
        return self.records[0].user

    def states(self, turn: int) -> tuple[int, ...]:
        """Index of each record's state at a turn (from 0); before the first turn at -1."""
        changed = {one.record for one in self.requests[: turn + 1] if one.changed}
        return tuple(1 - start if i in changed else start for i, start in enumerate(self.starts))

    def asked(self, turn: int) -> Gated:
        """The record that a turn is about."""
        return self.records[self.requests[turn].record]

    def right(self, turn: int) -> int:
        """Index of the action that the policy calls for at a turn."""
        return self.states(turn)[self.requests[turn].record]


@dataclass(frozen=True)
class Page:
    """What the model is shown at one turn in one arm.

    Attributes:
        turn: from 0.
        stated: index of the state that the prompt gives for each record.
        last: states stand right before the request, in place of the record they belong to.
        log: lines so far.
    """

    visit: Visit
    turn: int
    stated: tuple[int, ...]
    last: bool = False
    log: tuple[Segment, ...] = ()
    chat: bool = True
    thinking: bool | None = field(default=None)

    def told(self, line: str) -> Page:
        """The same page with one more line from a tool."""
        return replace(self, log=(*self.log, Segment("conversation", f"{line}\n")))

    def corrected(self, wording: str) -> Page:
        """The same page with an erratum for the record that the turn is about."""
        record, state = self.visit.asked(self.turn), self.visit.right(self.turn)
        line = erratum_line(record.label, record.states[state], wording)
        return replace(self, log=(*self.log, Segment("update", line)))

    def prompt(self, tokenizer: Any) -> Prompt:
        """The whole prompt up to the decision token.

        Raises:
            PkvError: a template changes the text, or a span has no token of its own.
        """
        visit = self.visit
        preface = "".join(f"{line}\n" for line in (f"user: {visit.user}", *visit.preface))
        segments = [
            Segment("session", f"Session\n{preface}\n"),
            Segment("conversation", "Policy\n"),
            Segment("rule", f"{visit.policy}\n", name="policy"),
            Segment("conversation", "Records\n"),
        ]
        for i, record in enumerate(visit.records):
            segments.append(Segment("session", f"{record.title}\n"))
            if not self.last:
                segments += self._state(i, record.topic.field)
            segments.append(Segment("session", "".join(f"{line}\n" for line in record.details)))
        # Where the kept part ends: everything from here on is this turn's.
        segments.append(Segment("conversation", "\nLog\nThe session is open.\n"))
        segments += self.log
        segments.append(Segment("conversation", "\n", name="request"))
        if self.last:
            for i, record in enumerate(visit.records):
                segments += self._state(i, record.label)
        asked, one = visit.asked(self.turn), visit.requests[self.turn]
        menu = (asked.topic.actions[one.first], asked.topic.actions[1 - one.first])
        ask = f"{asked.request}\nAnswer with one word, {menu[0]} or {menu[1]}."
        segments.append(Segment("conversation", ask, name="request"))
        messages = (
            Message("system", (Segment("system", SYSTEM),)),
            Message("user", tuple(segments)),
        )
        cue = Segment("decision", CUE)
        return build(messages, cue, tokenizer, chat=self.chat, thinking=self.thinking)

    def _state(self, index: int, label: str) -> list[Segment]:
        value = self.visit.records[index].states[self.stated[index]]
        return [
            Segment("session", f"{label}: "),
            Segment("field", value, name=field_name(index)),
            Segment("session", "\n"),
        ]


def field_name(index: int) -> str:
    """Name of the span of a record's state."""
    return f"state_{index}"


def field_spans(page: Page, tokenizer: Any) -> tuple[Span, ...]:
    """Where each record's state stands, the same for both states.

    Raises:
        PkvError: the prompts of the two states do not align.
    """
    count = len(page.visit.records)
    first, second = (replace(page, stated=(state,) * count).prompt(tokenizer) for state in (0, 1))
    if len(first) != len(second) or first.spans != second.spans:
        raise PkvError(
            f"the states of '{page.visit.instance}' differ in tokens",
            "use a tokenizer that gives them one length",
        )
    return tuple(first.spans[field_name(i)] for i in range(count))


def aligned(page: Page, tokenizer: Any) -> bool:
    """Whether `field_spans` has an answer."""
    try:
        field_spans(page, tokenizer)
    except PkvError:
        return False
    return True


def request_start(prompt: Prompt) -> int:
    """The first token that belongs to this turn alone."""
    return prompt.spans["request"][0]
