"""Conversations and their questions, read from either layout that circulates.

What is malformed is told by its place alone: no line quotes the data.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

#: Category of questions about what was never said; their answer is that it was not.
ADVERSARIAL = 5
CATEGORIES = (1, 2, 3, 4, ADVERSARIAL)
_SESSION = re.compile(r"session_(\d+)")
_TURN = re.compile(r"D(\d+):\d+")


@dataclass(frozen=True)
class Question:
    """A question about a conversation.

    Attributes:
        id: ``q`` and its number in the file, from 1.
        text: as it is asked.
        gold: its answer; "" for adversarial ones.
        category: 1 several sessions, 2 time, 3 open, 4 one session, 5 adversarial.
        last_session: number of the latest session that its evidence names; None where it names none.
    """

    id: str
    text: str
    gold: str
    category: int
    last_session: int | None


@dataclass(frozen=True)
class Talk:
    """A conversation of two speakers.

    Attributes:
        id: of the sample, or the file's name.
        speakers: both names.
        sessions: number and text of each, in order.
        questions: in the order of the file.
    """

    id: str
    speakers: tuple[str, str]
    sessions: tuple[tuple[int, str], ...]
    questions: tuple[Question, ...]


def talks_of(document: Any, stem: str) -> list[Talk]:
    """The conversations of one file: a list of them, or one.

    Args:
        document: what the file holds.
        stem: the file's name, which is the id of a conversation that has none of its own.

    Raises:
        ValueError: it is no such file; the text says where.
    """
    if isinstance(document, list):
        if not document:
            raise ValueError("the list of conversations is empty")
        return [_talk(one, f"{i}", f"conversation {i}") for i, one in enumerate(document, 1)]
    return [_talk(document, stem, "the conversation")]


def _talk(given: Any, name: str, where: str) -> Talk:
    told = _mapping(given, where)
    # In a list the sessions lie one level deeper than in a file of one conversation.
    talk = _mapping(told["conversation"], f"{where}, conversation") if "conversation" in told else told
    sample = told.get("sample_id", name)
    known = isinstance(sample, str) and re.fullmatch(r"[\w.-]{1,40}", sample)
    speakers = (_text(talk, "speaker_a", where), _text(talk, "speaker_b", where))
    sessions = tuple(_sessions(talk, where))
    if not sessions:
        raise ValueError(f"{where} has no session_1, session_2 and so on")
    listed = _list(told, "qa", where)
    questions = tuple(_question(one, i, f"{where}, qa {i}") for i, one in enumerate(listed, 1))
    return Talk(str(sample).removeprefix("conv-") if known else name, speakers, sessions, questions)


def _sessions(talk: Mapping[str, Any], where: str) -> Iterator[tuple[int, str]]:
    numbers = sorted(int(found[1]) for key in talk if (found := _SESSION.fullmatch(key)))
    for number in numbers:
        key = f"session_{number}"
        turns = _list(talk, key, where)
        if not turns:
            continue
        date = _text(talk, f"{key}_date_time", where)
        lines = [_turn(one, f"{where}, {key}, turn {i}") for i, one in enumerate(turns, 1)]
        yield number, "".join((f"Session {number}, {date}\n", *lines, "\n"))


def _turn(given: Any, where: str) -> str:
    turn = _mapping(given, where)
    line = f"{_text(turn, 'speaker', where)}: {_text(turn, 'text', where, empty=True).strip()}"
    if turn.get("blip_caption") is None:
        return f"{line}\n"
    picture = _text(turn, "blip_caption", where, empty=True).strip()
    return f"{line} (picture: {picture})\n" if picture else f"{line}\n"


def _question(given: Any, number: int, where: str) -> Question:
    told = _mapping(given, where)
    category = told.get("category")
    if isinstance(category, bool) or category not in CATEGORIES:
        raise ValueError(f"{where}: 'category' is none of 1 to 5")
    gold = told.get("answer", "" if category == ADVERSARIAL else None)
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise ValueError(f"{where}: 'answer' is missing, or neither text nor number")
    if category != ADVERSARIAL and not str(gold).strip():
        raise ValueError(f"{where}: 'answer' is empty")
    evidence = _list(told, "evidence", where)
    if not all(isinstance(one, str) for one in evidence):
        raise ValueError(f"{where}: 'evidence' holds something that is no text")
    return Question(f"q{number}", _text(told, "question", where), str(gold), int(category), _last(evidence))


def _last(evidence: list[str]) -> int | None:
    """The latest session that evidence names; None where a part of it names none."""
    named = [part for one in evidence for part in re.split(r"[;,\s]+", one.strip())]
    found = [_TURN.fullmatch(part) for part in named]
    numbers = [int(one[1]) for one in found if one is not None]
    return max(numbers) if numbers and len(numbers) == len(found) else None


def _mapping(given: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{where} is no JSON object")
    return given


def _list(told: Mapping[str, Any], key: str, where: str) -> list[Any]:
    if not isinstance(told.get(key), list):
        raise ValueError(f"{where} has no list '{key}'")
    return told[key]


def _text(told: Mapping[str, Any], key: str, where: str, *, empty: bool = False) -> str:
    found = told.get(key)
    if not isinstance(found, str) or not (empty or found.strip()):
        raise ValueError(f"{where} has no text '{key}'")
    if any("\ud800" <= character <= "\udfff" for character in found):
        raise ValueError(f"{where}: '{key}' has half of a character, a lone surrogate")
    return found
