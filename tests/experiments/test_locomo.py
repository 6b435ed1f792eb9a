"""LoCoMo: what is asked, how it is scored, and a record without a text of the data."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import find
from experiments.locomo.answers import score, token_f1, words
from experiments.locomo.arms import Agreement, Answer, Asked
from experiments.locomo.cases import Wording, fitting, histories
from experiments.locomo.measure import opened
from experiments.locomo.reading import Question
from experiments.locomo.remarks import history_remarks
from experiments.locomo.summary import _parity
from experiments.locomo.tables import AgreementLine, ArmLine, CostLine, HistoryLine
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.archive import archive_path
from pkv_interp.records.tables import rows_of
from tests.experiments.locomo_examples import MADE_UP, as_folder, document, made_up, settings, strings
from tests.families import tiny
from tests.runs import inside, small


@pytest.fixture(scope="module")
def record(small_results: Callable[[str], Path]) -> RunRecord:
    (found,) = load_records(small_results("locomo"))
    return found


def test_what_is_asked_is_answered_by_the_sessions_that_are_read() -> None:
    (one, _) = histories(made_up(), settings("questions=null"))
    assert [question.id for question in one.questions] == ["q1", "q2", "q3", "q4"]
    assert len(one.sessions) == 2
    (whole, *_) = histories(made_up(), settings("questions=null", "sessions=null", "adversarial=true"))
    assert len(whole.questions) == whole.answerable == 8
    (few, *_) = histories(made_up(), settings("questions=3", "sessions=null"))
    assert sorted(question.category for question in few.questions) == [1, 2, 3]
    assert len(histories(made_up(), settings("conversations=null"))) == 3


def test_a_history_is_cut_by_sessions_to_the_positions_of_the_model() -> None:
    asked = settings("questions=null", "sessions=null")
    one = histories(made_up(), asked)[0]

    def tokens(made: Any) -> int:
        return 100 * len(made.sessions)

    cut = fitting(one, 250, tokens, asked)
    assert len(cut.sessions) == 2
    assert [question.id for question in cut.questions] == ["q1", "q2", "q3", "q4"]
    assert fitting(one, None, tokens, asked) is one
    told = history_remarks([one], [cut], asked, 250)
    assert told[0] == "conversation 7: the first 2 of 3 sessions, 4 of the 4 questions that they answer"
    assert (
        told[1]
        == "the 250 positions of tiny-llama hold fewer sessions than were asked for: 7 cut by sessions"
    )
    with pytest.raises(PkvError, match="the first session of conversation '7' takes 100 positions"):
        fitting(one, 50, tokens, asked)


def test_a_model_of_few_positions_is_told_so_in_its_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pkv_interp.cache.positions import Positions

    short = Positions("TinyLlama", 260, None)
    monkeypatch.setattr(Positions, "of", lambda _model: short)
    small("locomo", tmp_path, "sessions=null", "conversations=1")
    (made,) = load_records(tmp_path)
    assert any("260 positions of tiny-llama hold fewer sessions" in remark for remark in made.remarks)
    (line,) = rows_of(made, HistoryLine)
    assert line.sessions < line.of_sessions


def test_a_question_stands_in_the_users_turn_and_the_cue_in_the_answer() -> None:
    loaded, asked = tiny("llama"), settings()
    one = histories(made_up(), asked)[0]
    wording = Wording.of(one.talk, loaded.tokenizer, asked)
    suffix = str(loaded.tokenizer.decode(list(wording.asked(one.sessions, "Who is it?"))))
    assert suffix.startswith("Answer in a few words: Who is it?")
    assert suffix.endswith("Answer:")
    assert wording.head.prompt.text.endswith("session by session.\n\n")


@pytest.mark.parametrize(
    ("answer", "gold", "f1", "right", "published"),
    [
        ("Vesterhus", "Vesterhus", 1.0, True, True),
        ("It is in Vesterhus, by the sea.", "Vesterhus", 2 / 7, True, True),
        ("trees", "the house and the trees", 0.5, True, True),
        ("house", "a big house near two trees", 1 / 3, False, True),
        ("a boat", "the house", 0.0, False, False),
        ("", "the house", 0.0, False, False),
        ("12.", "12", 1.0, True, True),
        ("1", "12", 0.0, False, False),
        ("the", "the", 1.0, True, True),
    ],
)
def test_answers_are_scored(answer: str, gold: str, f1: float, right: bool, published: bool) -> None:
    found = score(answer, Question("q1", "?", gold, 4, 1))
    assert found.f1 == pytest.approx(f1)
    assert (found.right, found.right_published) == (right, published)


def test_each_word_counts_as_often_as_it_occurs() -> None:
    assert words("The Trees, a tree!") == ["trees", "tree"]
    assert token_f1("tree tree tree", "tree") == pytest.approx(0.5)


def test_an_adversarial_question_wants_to_hear_that_it_was_not_said() -> None:
    asked = Question("q1", "?", "", 5, None)
    assert score("That is not mentioned.", asked).right
    assert not score("12 trees", asked).right


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (("model=tiny-llama",), "no conversations were named; set path=FILE to locomo10.json"),
        (("model=tiny-llama", "path=/nowhere/locomo10.json"), "there is no file or folder /nowhere"),
    ],
)
def test_the_command_says_in_one_line_where_the_data_comes_from(
    arguments: tuple[str, ...], cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        inside("locomo", *arguments, f"results_dir={tmp_path}")
    assert left.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert cause in line
    assert "CC BY-NC 4.0" in line
    assert list(tmp_path.iterdir()) == []


def test_the_record_has_every_arm_and_says_what_it_is_of(record: RunRecord) -> None:
    assert {"f1_full", "f1_spliced", "difference", "questions"} <= set(record.headline)
    assert record.headline["questions"].value == 6
    lines = rows_of(record, ArmLine)
    assert [line.arm for line in lines if line.category == "1-4"] == [
        "full",
        "spliced",
        "seam3",
        "no_history",
    ]
    assert [line.arm for line in rows_of(record, AgreementLine)] == [
        "spliced",
        "seam3",
        "no_rotation",
        "no_history",
    ]
    (full,) = [line for line in lines if (line.arm, line.category) == ("full", "1-4")]
    assert full.same_text == 1.0
    assert any("a record of the machinery" in remark for remark in record.remarks)
    assert (
        "conversation 7: the first 2 of 3 sessions, 3 of the 5 questions that they answer" in record.remarks
    )


def test_tokens_are_counted(record: RunRecord) -> None:
    costs = {line.arm: line for line in rows_of(record, CostLine)}
    histories_ = rows_of(record, HistoryLine)
    opening = costs["no_history"].tokens
    assert costs["full"].tokens == opening + sum(line.tokens for line in histories_)
    assert costs["spliced"].tokens == costs["no_rotation"].tokens == opening
    assert costs["seam3"].tokens == opening + 3 * sum(line.sessions for line in histories_)
    assert costs["spliced"].once_tokens >= sum(line.tokens for line in histories_)
    assert costs["full"].once_tokens == 0


def text_in(told: str) -> set[str]:
    """Words and texts of the made-up conversations that stand in a text."""
    texts = {text for text in strings(document()) if len(text) > 2}
    known = {word for text in texts for word in re.findall(r"[A-Za-z]{4,}", text)}
    names = {word for word in known if word[0].isupper()} - {"Session", "What", "When", "Where"}
    return {text for text in texts if text in told} | {
        word for word in names if re.search(rf"\b{word}\b", told)
    }


def test_neither_record_nor_measurements_hold_a_text_of_the_data(record: RunRecord) -> None:
    assert record.path is not None
    assert text_in(record.path.read_text()) == set()
    with zipfile.ZipFile(archive_path(record.path)) as kept:
        told = [kept.read(name).decode("utf-8", "replace") for name in kept.namelist()]
    assert len(told) >= 1
    assert text_in(" ".join(told)) == set()
    assert len(text_in(MADE_UP.read_text())) > 50  # what is looked for is found where it is


def test_what_is_kept_of_an_answer_has_no_place_for_a_text() -> None:
    kinds = {field.type for kind in (Answer, Agreement) for field in fields(kind)}
    assert kinds <= {"float", "bool", "int", float, bool, int}
    assert [field.name for field in fields(Asked) if field.type in (str, "str")] == ["id"]


def test_two_arms_that_are_always_wrong_are_not_called_equivalent() -> None:
    def asked(number: int, full: float, without: float) -> tuple[str, Asked]:
        made = {
            arm: Answer(f1, False, False, False, 1)
            for arm, f1 in (("full", full), ("spliced", full), ("no_history", without))
        }
        return f"{number % 2}", Asked(f"q{number}", 4, made, {})

    draws: Any = {"seed": 0, "draws": 200}
    wrong = _parity([asked(i, 0.0, 0.0) for i in range(8)], "spliced", "f1", draws)
    assert (wrong.sensitive, wrong.equivalent, wrong.p_value) == (False, False, 0.0)
    told = _parity([asked(i, 0.5, 0.1) for i in range(8)], "spliced", "f1", draws)
    assert (told.sensitive, told.equivalent, told.margin) == (True, True, 0.03)
    without = _parity([asked(i, 0.5, 0.1) for i in range(8)], "no_history", "f1", draws)
    assert without.equivalent is False
    alone = _parity([asked(2 * i, 0.5, 0.1) for i in range(8)], "spliced", "f1", draws)
    assert (alone.equivalent, alone.p_value, alone.ci_low) == (None, None, None)


def test_the_same_data_in_the_other_layout_gives_the_same_answers(record: RunRecord, tmp_path: Path) -> None:
    (tmp_path / "talks").mkdir()
    small("locomo", tmp_path / "results", f"path={as_folder(tmp_path / 'talks')}")
    (other,) = load_records(tmp_path / "results")
    assert other.key != record.key
    assert [row.model_dump() for row in other.rows] == [row.model_dump() for row in record.rows]


def test_a_record_is_read_without_the_data(record: RunRecord) -> None:
    from pkv_interp.run.settings import checked

    made = checked(find("locomo").settings, record.config)
    with pytest.raises(PkvError, match="only name and hash of 'made_up.json' are known here"):
        _ = made.path.talks


def test_files_that_change_while_a_run_begins_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "talks.json"
    path.write_bytes(MADE_UP.read_bytes())
    asked = settings(path=path)
    assert asked.path is not None
    keyed = SimpleNamespace(config={"path": asked.path.opened().model_dump(mode="json")})
    session: Any = SimpleNamespace(settings=asked, run=SimpleNamespace(asked=keyed))
    assert opened(session) == made_up()
    path.write_text(json.dumps(document()[:2]))
    with pytest.raises(PkvError, match=r"the files of talks.json changed while the run began"):
        opened(session)


def test_more_conversations_than_there_are_is_a_remark() -> None:
    assert settings("conversations=9").more_than_there_are(3) == (
        "conversations=9, and there are 3 in the data: all are taken",
    )
    assert settings("conversations=null").more_than_there_are(3) == ()
