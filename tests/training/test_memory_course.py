"""Lessons on memories: what they ask, that pairs differ in one value, and whose words they have."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest

from experiments.memory import words as asked_words
from pkv_interp.errors import PkvError
from pkv_interp.training import memory_words, vocabulary
from pkv_interp.training.courses import Memories
from pkv_interp.training.examples import Turn
from pkv_interp.training.memory_course import draw_memory, lesson, memory_course
from pkv_interp.training.schedule import Stage
from pkv_interp.training.shared_words import words_of
from pkv_interp.training.trainer import TrainSettings, add_lora, train
from tests.families import tiny

#: Any value of a setting.
KNOWN = "|".join(sorted({value for two in memory_words.VALUES for value in two}))
COURSE = Memories(lines=(3, 12), kept=0.0)
STAGES = (Stage(steps=2, lessons="rules", lr=(1e-2, 1e-2), batch=4, mix={"plain": 0.5, "late": 0.5}),)


def pair(seed: int, course: Memories = COURSE, breadth: float = 1.0) -> tuple[Any, Any]:
    made = [lesson(np.random.default_rng(seed), course, breadth, right) for right in (True, False)]
    return made[0], made[1]


def values_of(text: str) -> dict[str, str]:
    """Names and values of the list in a lesson."""
    line = rf"^(?:[-*] )?(?:\[\w+\] )?(?P<name>[a-z ]+?)(?:: | = | is )(?P<value>{KNOWN})(?: \(.*\))?$"
    return {found["name"]: found["value"] for found in re.finditer(line, text, re.MULTILINE)}


@pytest.mark.parametrize("seed", range(12))
def test_a_pair_differs_in_the_value_of_one_setting_that_the_rule_reads(seed: int) -> None:
    yes, no = pair(seed)
    assert (yes.kind, yes.system) == (no.kind, no.system)
    first, second = values_of(yes.turns[0].text), values_of(no.turns[0].text)
    assert list(first) == list(second)
    assert len(first) >= 3
    (violator,) = [name for name in first if first[name] != second[name]]
    question = yes.turns[0].text.rpartition("\n\n")[2]
    assert question == no.turns[0].text.rpartition("\n\n")[2]
    assert f"the {violator}" in question
    deciding = [name for name in first if re.search(rf"the {name}\b", question)]
    assert len(deciding) >= int(yes.kind[-1])
    assert all(name in deciding for name in (violator,))
    assert yes.turns[0].answer != no.turns[0].answer
    assert {yes.turns[0].answer, no.turns[0].answer} <= set(vocabulary.ACTIONS)


def test_lists_get_longer_and_stand_where_the_course_wants_them() -> None:
    long = Memories(lines=(3, 60))
    sizes = {p: [pair(s, long, p)[0].turns[0].text.count("\n") for s in range(20)] for p in (0.0, 1.0)}
    assert max(sizes[0.0]) < 15 < max(sizes[1.0])
    kinds = {pair(seed, Memories(two=share))[0].kind for seed in range(10) for share in (1.0,)}
    assert kinds == {"memory2"}
    assert {pair(seed, Memories(two=0.0))[0].kind for seed in range(10)} == {"memory1"}
    titles = tuple(memory_words.TITLES)
    early = [pair(seed, Memories(late=0.0))[0].turns[0].text for seed in range(10)]
    assert all(text.startswith(titles) for text in early)
    late = [pair(seed, Memories(late=1.0))[0].turns[0].text for seed in range(20)]
    assert not all(text.startswith(titles) for text in late)
    with pytest.raises(ValueError, match="lists of 9 settings at least and 4 at most"):
        Memories(lines=(9, 4))


def asked_of(text: str) -> dict[str, str]:
    """Settings, value and answers of a rule, read back from its words."""
    said = text.rpartition("\n\n")[2]
    for wording in (*memory_words.ONE, *memory_words.TWO):
        known: set[str] = set()
        parts = []
        for literal, name, _, _ in Formatter().parse(wording):
            parts.append(re.escape(literal))
            if name is not None:
                shape = {"v": KNOWN, "s": "the [a-z ]+?", "t": "the [a-z ]+?"}.get(name, "[a-z ]+?")
                parts.append(f"(?P={name})" if name in known else f"(?P<{name}>{shape})")
                known.add(name)
        found = re.match("".join(parts), said)
        if found is not None:
            return found.groupdict()
    raise AssertionError(said)


def gold_of(turn: Turn, values: dict[str, str]) -> bool:
    """Whether all settings that a turn's rule names have the value that it asks for; its answer says so."""
    asked = asked_of(turn.text)
    gold = all(values[asked[at].removeprefix("the ")] == asked["v"] for at in "st" if at in asked)
    assert turn.answer == asked["a" if gold else "b"]
    return gold


@pytest.mark.parametrize("seed", range(30))
def test_later_turns_ask_about_other_settings_of_the_same_list(seed: int) -> None:
    course = Memories(lines=(6, 20), asked=(2, 6), kept=0.0)
    yes, no = pair(seed, course)
    assert [one.answer for one in yes.turns[1:]] == [one.answer for one in no.turns[1:]]
    assert [one.text for one in yes.turns[1:]] == [one.text for one in no.turns[1:]]
    for example, right in ((yes, True), (no, False)):
        values = values_of(example.turns[0].text)
        golds = [gold_of(turn, values) for turn in example.turns]
        assert golds[0] is right


def test_later_turns_are_as_many_as_asked_for_and_either_answer_is_as_frequent() -> None:
    course = Memories(lines=(12, 20), asked=(3, 5), two=0.0, kept=0.0)
    made = [pair(seed, course)[0] for seed in range(60)]
    assert {len(one.turns) for one in made} == {3, 4, 5}
    later = [turn for one in made for turn in one.turns[1:]]
    values = [values_of(one.turns[0].text) for one in made for _ in one.turns[1:]]
    golds = [gold_of(turn, mine) for turn, mine in zip(later, values, strict=True)]
    assert 0.35 < sum(golds) / len(golds) < 0.65
    with pytest.raises(ValueError, match="5 turns about a list at least and 2 at most"):
        Memories(asked=(5, 2))


def test_no_setting_rule_or_note_is_one_that_is_asked_about() -> None:
    taught = words_of((*memory_words.THINGS, *memory_words.PARTS, *memory_words.CATEGORIES))
    asked = words_of(
        (*asked_words.THINGS, *asked_words.FEATURES, *asked_words.CATEGORIES, *asked_words.ALIASES)
    )
    assert not taught & asked
    assert not set(memory_words.NOTES) & set(asked_words.NOTES)
    assert not set(memory_words.TITLES) & {asked_words.TITLE}
    rules = {one.format(s="X", v="V", a="yes", b="no") for one in memory_words.ONE}
    asked_rules = {r.format(**{"all": "X", "is": "is", "on": "V"}) for r in asked_words.RULES.values()}
    assert not rules & asked_rules
    assert len(set(memory_words.THINGS)) == len(memory_words.THINGS)
    assert len(set(memory_words.PARTS)) == len(memory_words.PARTS)


def test_a_share_of_the_pairs_is_the_stages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course.ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course._YES_NO", 0.0)
    tokenizer: Any = tiny("llama").tokenizer
    kinds = {
        kept: {
            one.kind
            for number in range(4)
            for one in draw_memory(
                Memories(lines=(3, 4), kept=kept), STAGES[0], (0, 0, number), 1.0, 4, tokenizer
            )
        }
        for kept in (0.0, 1.0)
    }
    assert kinds[0.0] <= {"memory1", "memory2"}
    assert kinds[1.0] <= {"plain", "late"}
    again = [draw_memory(COURSE, STAGES[0], (3, 1, 0), 1.0, 4, tokenizer) for _ in range(2)]
    assert again[0] == again[1]
    for one in again[0]:
        (target,) = one.targets
        assert tokenizer.decode([one.ids[target + 1]]).strip() in ("cancel", "deny")
    monkeypatch.setattr("pkv_interp.training.memory_course.ACTIONS", ("quizzical", "zymurgy"))
    with pytest.raises(PkvError, match="no pair has answers of this tokenizer"):
        draw_memory(COURSE, STAGES[0], (0, 0, 0), 1.0, 4, tokenizer)


def test_two_steps_change_the_adapter_and_count_each_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.training.memory_course.ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course._YES_NO", 0.0)
    options = TrainSettings(
        stages=STAGES, rank=2, alpha=2, warmup=1, snapshot_every=2, base="a", bfloat16=False
    )
    model = add_lora(copy.deepcopy(tiny("llama").model), options)
    before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_B" in n}
    course = memory_course(COURSE, STAGES, 0, 4, tiny("llama").tokenizer)
    history = train(model, tiny("llama").tokenizer, [], options, tmp_path, course=course)
    assert len(history) == 2
    assert {name for step in history for name in step} <= {
        "loss",
        "chat_loss",
        "accuracy_memory1",
        "accuracy_memory2",
    }
    assert any(not p.equal(before[n]) for n, p in model.named_parameters() if "lora_B" in n)
    assert course.facts == COURSE.model_dump(mode="json")
