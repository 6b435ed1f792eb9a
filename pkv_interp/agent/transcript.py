"""The conversation as token ids, turn by turn: whatever was there stays, token by token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pkv_interp.agent.episodes import Episode
from pkv_interp.agent.world import Outcome
from pkv_interp.errors import PkvError
from pkv_interp.tasks.cases import Style, messages
from pkv_interp.tasks.readout import action_ids
from pkv_interp.tasks.segments import Message, Prompt, Segment, build, encode, render
from pkv_interp.tasks.wordings import UPDATES

Span = tuple[int, int]


@dataclass(frozen=True)
class Transcript:
    """What the model is shown at one turn, up to the decision token.

    Attributes:
        openings: first turn's prompt by value of the field; they differ in the field's tokens alone.
        value: the field's value as the session block states it.
        messages: all messages so far.
        text: the same, rendered.
        tail: ids after the first turn's prompt.
        policy: span of the policy, which is composed.
        action_ids: tokens of the episode's two actions.
    """

    episode: Episode
    style: Style
    openings: Mapping[str, Prompt]
    value: str
    messages: tuple[Message, ...]
    text: str
    tail: tuple[int, ...]
    policy: Span
    action_ids: tuple[int, int]

    @property
    def ids(self) -> tuple[int, ...]:
        """All token ids; the last one is the decision token."""
        return self.openings[self.value].ids + self.tail

    @property
    def field(self) -> Span:
        """Span of the field in the session block."""
        return self.openings[self.value].spans["field"]

    def stating(self, value: str) -> Transcript:
        """The same conversation whose session block states another value."""
        return replace(self, value=value)

    def then(
        self, turn: int, action: str, outcome: Outcome, erratum: str | None, tokenizer: Any
    ) -> Transcript:
        """The next turn: the action as the model's answer, what the tool said, the new record.

        Args:
            turn: the new turn, counted from 0.
            erratum: key of `UPDATES` in which the world's new value is told, None where nothing is told.

        Raises:
            PkvError: the tokenizer joins tokens across the turns.
        """
        episode = self.episode
        said = [Segment("conversation", f"{outcome.text}\n")]
        if erratum is not None:
            told = UPDATES[erratum].format(field=episode.family.field, value=episode.turns[turn].value)
            said.append(Segment("update", told[0].upper() + told[1:] + "\n"))
        answer = f"{self.style.cue} {action}"
        grown = (
            *self.messages,
            Message("assistant", (Segment("action", answer),)),
            Message("user", (*said, *_request(episode, turn))),
        )
        chat = self.style.chat and tokenizer.chat_template is not None
        rendered = render(grown, tokenizer, chat, self.style.thinking)
        # Templates may rewrite earlier turns; what was computed stays, so only what follows the answer counts.
        text = f"{self.text} {action}{rendered[rendered.rindex(answer) + len(answer) :]}{self.style.cue}"
        ids, start = tuple(encode(text, tokenizer)[0]), self.openings[episode.turns[0].value].ids
        before = start + self.tail
        if ids[: len(before)] != before or ids[len(before)] not in self.action_ids:
            raise PkvError(
                "the tokenizer joins the end of a turn with the answer", "use another chat setting or model"
            )
        return replace(self, messages=grown, text=text, tail=ids[len(start) :])


def open_transcript(episode: Episode, style: Style, tokenizer: Any) -> Transcript:
    """The first turn: session block, policy, tools, first record.

    Raises:
        PkvError: the prompts of the field's values do not align, or an action is not one token.
    """
    turn = episode.turns[0]
    chosen = replace(episode.chosen, record=turn.record, menu=turn.menu)
    shown, openings = {}, {}
    for value in episode.values:
        shown[value] = messages(
            episode.family, chosen, value=value, trigger=episode.trigger, wording=episode.wording, style=style
        )
        cue = Segment("decision", style.cue, "decision")
        openings[value] = build(shown[value], cue, tokenizer, chat=style.chat, thinking=style.thinking)
    first, second = openings.values()
    if len(first) != len(second) or first.spans != second.spans:
        raise PkvError(
            f"the prompts of '{episode.family.name}' do not align", "choose values that tokenise to one length"
        )
    start = openings[turn.value]
    # The policy runs from its heading to what follows it, whichever of session and tools that is.
    begin = start.kinds.index("rule")
    end = next(i for i in range(begin, len(start)) if start.kinds[i] in ("session", "tools"))
    return Transcript(
        episode,
        style,
        openings,
        turn.value,
        shown[turn.value],
        start.text,
        (),
        (begin, end),
        action_ids(start, episode.actions, tokenizer),
    )


def _request(episode: Episode, turn: int) -> tuple[Segment, ...]:
    record, menu = episode.turns[turn].record, episode.turns[turn].menu
    return (
        Segment("conversation", episode.family.request.format(id=record) + "\n", "conversation"),
        Segment("decision", f"Answer with one word, {menu[0]} or {menu[1]}.", "question"),
    )
