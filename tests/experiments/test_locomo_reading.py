"""LoCoMo: both layouts that circulate are read alike, and what is malformed is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from experiments.locomo.source import TalkFiles
from pkv_interp.errors import PkvError
from tests.experiments.locomo_examples import MADE_UP, as_folder, document, made_up


def test_both_layouts_are_read_alike(tmp_path: Path) -> None:
    one, other = (TalkFiles.at(place).opened() for place in (MADE_UP, as_folder(tmp_path)))
    assert one.talks == other.talks
    assert [talk.id for talk in one.talks] == ["7", "8", "12"]
    assert (one.files, other.files) == (1, 3)
    assert (tmp_path / "7.json").exists()
    (talk,) = TalkFiles.at(tmp_path / "8.json").opened().talks
    assert talk == one.talks[1]


def test_sessions_are_dated_lines_and_a_date_alone_is_none() -> None:
    talk = made_up()[0]
    assert [number for number, _ in talk.sessions] == [1, 2, 3]
    first = talk.sessions[0][1].splitlines()
    assert first[0] == "Session 1, 9:15 am on 3 May, 2031"
    assert (
        first[2]
        == "Bram: How lovely. I have a new tortoise, it sleeps all day. (picture: a tortoise on a red chair)"
    )
    assert talk.sessions[0][1].endswith("!\n\n")


def test_questions_have_text_for_gold_and_the_last_session_of_their_evidence() -> None:
    asked = made_up()[0].questions
    assert [one.last_session for one in asked] == [1, 2, 2, 2, 3, 3, None, 2]
    assert asked[2].gold == "12"
    assert (asked[7].category, asked[7].gold) == (5, "")


def _without(key: str) -> Callable[[list[Any]], object]:
    return lambda talks: talks[1]["conversation"].pop(key)


MALFORMED: dict[str, tuple[Callable[[list[Any]], object], str]] = {
    "no list of questions": (lambda talks: talks[0].pop("qa"), "conversation 1 has no list 'qa'"),
    "no speaker": (_without("speaker_b"), "conversation 2 has no text 'speaker_b'"),
    "no date": (_without("session_2_date_time"), "conversation 2 has no text 'session_2_date_time'"),
    "a session of text": (
        lambda talks: talks[0]["conversation"].update(session_2="They talk."),
        "conversation 1 has no list 'session_2'",
    ),
    "a turn of text": (
        lambda talks: talks[0]["conversation"]["session_1"].insert(1, "Bram: hello"),
        "conversation 1, session_1, turn 2 is no JSON object",
    ),
    "a turn without text": (
        lambda talks: talks[0]["conversation"]["session_1"][0].pop("text"),
        "conversation 1, session_1, turn 1 has no text 'text'",
    ),
    "half a character": (
        lambda talks: talks[0]["conversation"]["session_1"][0].update(text="Bram \ud800"),
        "'text' has half of a character",
    ),
    "no category": (lambda talks: talks[0]["qa"][2].pop("category"), "conversation 1, qa 3: 'category'"),
    "no gold answer": (
        lambda talks: talks[0]["qa"][1].pop("answer"),
        "conversation 1, qa 2: 'answer' is missing",
    ),
    "evidence of text": (
        lambda talks: talks[0]["qa"][0].update(evidence="D1:1"),
        "qa 1 has no list 'evidence'",
    ),
    "no session": (
        lambda talks: talks[0].update(conversation={"speaker_a": "A", "speaker_b": "B"}),
        "conversation 1 has no session_1",
    ),
    "no object": (lambda talks: talks.append(3), "conversation 4 is no JSON object"),
    "one twice": (lambda talks: talks.append(talks[0]), "conversation '7' stands twice"),
    "an empty list": (lambda talks: talks.clear(), "the list of conversations is empty"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_file_is_refused_in_one_line_that_quotes_nothing(what: str, tmp_path: Path) -> None:
    spoil, cause = MALFORMED[what]
    talks = document()
    spoil(talks)
    path = tmp_path / "locomo10.json"
    path.write_text(json.dumps(talks))
    with pytest.raises(PkvError) as error:
        TalkFiles.at(path).opened()
    line = str(error.value)
    assert cause in line
    assert "\n" not in line
    assert "snap-research/locomo" in line
    assert not any(word in line for word in ("Bram", "Ottilie", "They talk"))


def test_files_that_are_no_json_or_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.json").write_bytes(MADE_UP.read_bytes()[:500])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    for name, cause in (
        ("none.json", "there is no file or folder"),
        ("empty", "has no JSON file in it"),
        ("cut.json", r"cut.json: not JSON .*, line \d+"),
        ("binary.json", "binary.json is no text in UTF-8"),
    ):
        with pytest.raises(PkvError, match=f"{cause}.*snap-research/locomo"):
            TalkFiles.at(tmp_path / name).opened()
