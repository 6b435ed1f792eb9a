"""Histories: the sessions of a conversation that are read, and the questions that are asked of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.locomo.reading import ADVERSARIAL, Question, Talk
from experiments.locomo.settings import LocomoSettings
from pkv_interp.errors import PkvError
from pkv_interp.prompts.rendering import Head, Renderer
from pkv_interp.prompts.segments import Message, Segment

_SYSTEM = "You answer questions about conversations from what was said in them."
_OPENING = "These are conversations of {} and {}, session by session.\n\n"
_ASKED = "Answer in a few words: {}"
CUE = "Answer:"


@dataclass(frozen=True)
class History:
    """What is read of a conversation and asked about it.

    Attributes:
        talk: the conversation.
        sessions: texts of those that are read, from the first one on.
        questions: that are asked.
        answerable: questions of the wanted categories whose evidence lies in these sessions.
    """

    talk: Talk
    sessions: tuple[str, ...]
    questions: tuple[Question, ...]
    answerable: int

    @property
    def instance(self) -> str:
        """The conversation's id."""
        return self.talk.id


@dataclass(frozen=True)
class Wording:
    """How a history and a question are written for a model.

    Attributes:
        renderer: of its tokenizer and template.
        head: of what stands before the first session.
    """

    renderer: Renderer
    head: Head

    @classmethod
    def of(cls, talk: Talk, tokenizer: Any, settings: LocomoSettings) -> "Wording":
        """Write what stands before the first session of a conversation.

        Raises:
            PkvError: the chat template changes the messages.
        """
        renderer = Renderer(tokenizer, settings.chat, settings.model.thinking, _ASKED)
        messages = (
            Message("system", (Segment("system", _SYSTEM),)),
            Message("user", (Segment("conversation", _OPENING.format(*talk.speakers)),)),
        )
        return cls(renderer, renderer.head(messages))

    def asked(self, sessions: Sequence[str], question: str) -> tuple[int, ...]:
        """Tokens from the question to the cue, which the answer comes after.

        Args:
            sessions: that stand before the question.
            question: as it is asked.
        """
        text = _ASKED.format(question)
        tail = self.renderer.tail(self.head, "".join(sessions) + text)
        return self.renderer.after(text + tail + CUE)


def histories(talks: Sequence[Talk], settings: LocomoSettings) -> list[History]:
    """The conversations of a run, with the sessions and questions that the settings ask for.

    Args:
        talks: all that there are.
        settings: how many of them, and of their sessions and questions.

    Raises:
        PkvError: no question is left of a conversation.
    """
    return [history(talk, settings.sessions, settings) for talk in talks[: settings.conversations]]


def history(talk: Talk, n: int | None, settings: LocomoSettings) -> History:
    """The first sessions of a conversation, and the questions that they answer.

    Args:
        talk: the conversation.
        n: sessions; None for all.
        settings: which questions, and how many.

    Raises:
        PkvError: these sessions answer none.
    """
    read = talk.sessions[:n]
    whole, last = len(read) == len(talk.sessions), read[-1][0]
    wanted = [one for one in talk.questions if settings.adversarial or one.category != ADVERSARIAL]
    # Of a whole history everything is asked; evidence that names no session may lie anywhere in it.
    there = [one for one in wanted if whole or (one.last_session is not None and one.last_session <= last)]
    if not there:
        raise PkvError(
            f"the first {len(read)} sessions of conversation '{talk.id}' answer none of its questions",
            "ask for more sessions",
        )
    return History(
        talk, tuple(text for _, text in read), tuple(_in_turn(there, settings.questions)), len(there)
    )


def _in_turn(questions: Sequence[Question], n: int | None) -> list[Question]:
    """The first questions of each category in turn, so that a few are of all kinds; in the file's order."""
    if n is None:
        return list(questions)
    seen: dict[int, int] = {}
    place: dict[str, tuple[int, int]] = {}
    for one in questions:
        seen[one.category] = seen.get(one.category, 0) + 1
        place[one.id] = (seen[one.category], one.category)
    chosen = {one.id for one in sorted(questions, key=lambda one: place[one.id])[:n]}
    return [one for one in questions if one.id in chosen]


def fitting(
    made: History, served: int | None, tokens: Callable[[History], int], settings: LocomoSettings
) -> History:
    """The history cut to the sessions that a model's positions hold.

    Args:
        made: as the settings ask for it.
        served: positions of the model; None where nothing limits them.
        tokens: that a history takes with its longest question and answer.
        settings: which questions, and how many.

    Raises:
        PkvError: not even the first session fits.
    """
    while served is not None and tokens(made) > served:
        if len(made.sessions) == 1:
            raise PkvError(
                f"the first session of conversation '{made.instance}' takes {tokens(made)} positions, and "
                f"the model has {served}",
                "use a model that serves more, or fewer answer_tokens",
            )
        made = history(made.talk, len(made.sessions) - 1, settings)
    return made
