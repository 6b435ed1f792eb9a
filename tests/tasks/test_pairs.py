"""Pairs of a researcher's own: the changed span is found by tokens, and every bad line is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks.findings import FileProblems
from pkv_interp.tasks.pairs import check_pairs, load_pairs
from pkv_interp.tasks.sites import site_labels
from pkv_interp.tasks.token_kinds import token_kinds
from tests.families import tiny as tiny_model

GOOD: dict[str, Any] = {
    "clean": "The order status is pending. Answer with one word, cancel or deny. Action:",
    "corrupt": "The order status is shipped. Answer with one word, cancel or deny. Action:",
    "answer": "cancel",
    "wrong": "deny",
}


def written(tmp_path: Path, *lines: dict[str, Any] | str) -> Path:
    path = tmp_path / "my.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


def test_the_changed_span_holds_every_token_that_differs(tmp_path: Path, tiny: LoadedModel) -> None:
    twice = GOOD | {
        "clean": "A pending order and a green light near the desk. Answer: yes or no. Action:",
        "corrupt": "A shipped order and a red light near the desk. Answer: yes or no. Action:",
        "family": "mine",
        "split": "discovery",
        "instance": "two-words",
    }
    plain, double = load_pairs(written(tmp_path, GOOD, "", twice), tiny.tokenizer)
    for case in (plain, double):
        assert len(case.clean) == len(case.corrupt)
        differ = [i for i, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b]
        assert case.change == (min(differ), max(differ) + 1) == case.corrupt.spans["change"]
        assert case.after_change == max(differ) + 1 <= case.clean.decision
        assert set(case.clean.kinds) <= {"plain", "template"}
        assert case.actions == ("cancel", "deny")
        told = [str(tiny.tokenizer.decode([token])).strip() for token in case.action_ids]
        assert told == list(case.actions)
        assert len(site_labels(case.clean)) == len(token_kinds(case.clean)) == len(case.clean)
    assert "".join(plain.clean.tokens[slice(*plain.change)]).strip() == "pending"
    assert "".join(double.clean.tokens[slice(*double.change)]).strip() == "pending order and a green"
    assert (plain.family, plain.split, plain.instance) == ("pairs", "held_out", "pairs-1")
    assert (double.family, double.split, double.instance) == ("mine", "discovery", "two-words")


def test_texts_are_tokenised_as_they_stand_with_one_bos_at_most(tmp_path: Path, tiny: LoadedModel) -> None:
    (case,) = load_pairs(written(tmp_path, GOOD), tiny.tokenizer)
    assert case.clean.text == GOOD["clean"]
    assert list(case.clean.ids) == list(tiny.tokenizer(GOOD["clean"])["input_ids"])


def test_messages_go_through_the_chat_template(tmp_path: Path) -> None:
    tokenizer = tiny_model("qwen3").tokenizer
    sides = {
        side: [{"role": "system", "content": "You handle orders."}, {"role": "user", "content": GOOD[side]}]
        for side in ("clean", "corrupt")
    }
    talk, wrapped = load_pairs(written(tmp_path, GOOD | sides, GOOD | {"chat": True}), tokenizer)
    for case in (talk, wrapped):
        assert "<|im_start|>assistant\n" in case.clean.text
        assert case.clean.kinds[-1] == "template"
        assert "".join(case.clean.tokens[slice(*case.change)]).strip() == "pending"
        # The answer opens a line of its own, so it has no blank before it.
        assert [tokenizer.decode([token]) for token in case.action_ids] == ["cancel", "deny"]
    assert "You handle orders." in talk.clean.text
    assert "system" not in wrapped.clean.text


BAD: dict[str, tuple[dict[str, Any] | str, str, str]] = {
    "not JSON": ("{clean}", "not JSON", "one object a line"),
    "no object": ("[1]", "no object", "write an object"),
    "missing": ({k: v for k, v in GOOD.items() if k != "wrong"}, "the key 'wrong' is missing", "add it"),
    "unknown": (GOOD | {"anser": "x"}, "unknown key 'anser'", "did you mean 'answer'"),
    "empty": (GOOD | {"answer": " "}, "'answer' is empty", "write a text"),
    "no prompt": (GOOD | {"clean": 3}, "'clean' is no prompt", "list of messages"),
    "bad role": (GOOD | {"clean": [{"role": "bot", "content": "x"}]}, "'clean' is no prompt", "messages"),
    "split": (GOOD | {"split": "train"}, "'split' is 'train'", "choose from discovery"),
    "ranks and is scored": (
        GOOD | {"clean": GOOD["corrupt"], "corrupt": GOOD["clean"], "split": "discovery"},
        "its prompts stand in line 1 too, in the split 'held_out'",
        "leave one of the two lines out",
    ),
    "same": (GOOD | {"corrupt": GOOD["clean"]}, "clean and corrupt are the same", "change the words"),
    "answers": (GOOD | {"wrong": "cancel"}, "answer and wrong are both 'cancel'", "what each prompt"),
    "forms": (GOOD | {"clean": [{"role": "user", "content": "x"}]}, "one prompt is a text", "one form"),
}
BAD_TOKENS: dict[str, tuple[dict[str, Any], str, str]] = {
    "length": (
        GOOD | {"corrupt": str(GOOD["corrupt"]).replace("shipped", "shipped today")},
        "tokens and corrupt",
        "where corrupt has",
    ),
    "answer": (GOOD | {"answer": "xylophonist"}, "'xylophonist' is not one token", "shorter"),
    "last": (GOOD | {"clean": "It is pending", "corrupt": "It is shipped"}, "last token", "same words"),
    "no notes": (
        GOOD | {"clean": "cancel or deny? It is pending:", "corrupt": "cancel or deny? It is shipped:"},
        "no token stands between the change and the last one",
        "put words after the change",
    ),
    "blank": (
        GOOD | {k: f"{GOOD[k]} " for k in ("clean", "corrupt")} | {"answer": "deny", "wrong": "cancel"},
        "is not one token",
        "without a blank",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_line_is_told_without_a_tokenizer(name: str, tmp_path: Path) -> None:
    line, reason, suggestion = BAD[name]
    path = written(tmp_path, GOOD, line)
    (finding,) = check_pairs(path)
    assert finding.place == f"{path}:2"
    assert reason in finding.reason
    assert suggestion in finding.suggestion


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_line_that_does_not_suit_the_tokenizer_is_told(name: str, tmp_path: Path) -> None:
    line, reason, suggestion = BAD_TOKENS[name]
    path = written(tmp_path, GOOD, line)
    tokenizer = tiny_model("llama").tokenizer
    assert check_pairs(path) == []
    (finding,) = check_pairs(path, tokenizer)
    assert finding.place == f"{path}:2"
    assert reason in finding.reason
    assert suggestion in finding.suggestion


def test_all_problems_of_a_file_are_collected(tmp_path: Path) -> None:
    tokenizer = tiny_model("llama").tokenizer
    path = written(
        tmp_path,
        GOOD | {"instance": "a"},
        BAD["missing"][0],
        BAD_TOKENS["answer"][0],
        GOOD | {"instance": "a"},
        "{",
    )
    with pytest.raises(
        FileProblems, match=r"my.jsonl:2: the key 'wrong' is missing; add it \(and 3 more\)"
    ) as e:
        load_pairs(path, tokenizer)
    assert {finding.place.rsplit(":", 1)[1] for finding in e.value.problems} == {"2", "3", "4", "5"}
    assert "\n" not in str(e.value)
    assert any("'a' stands in line 1 too" in str(finding) for finding in e.value.problems)


def test_an_empty_or_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileProblems, match="holds no pairs"):
        load_pairs(written(tmp_path, ""), tiny_model("llama").tokenizer)
    with pytest.raises(PkvError, match=r"none.jsonl' cannot be read"):
        check_pairs(tmp_path / "none.jsonl")
