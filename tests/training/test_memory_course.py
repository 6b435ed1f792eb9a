"""Lessons on memories: what they ask, that pairs differ in one value, and whose words they have."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from string import Formatter
from typing import Any

import numpy as np
import pytest
import torch

from experiments.memory import words as asked_words
from pkv_interp.errors import PkvError
from pkv_interp.training import memory_words, vocabulary
from pkv_interp.training.courses import Memories
from pkv_interp.training.examples import Example, Turn
from pkv_interp.training.losses import shared_beginning, supervised_losses
from pkv_interp.training.memory_course import draw_memory, lessons, list_batches, list_losses, memory_course
from pkv_interp.training.schedule import Stage
from pkv_interp.training.shared_words import words_of
from pkv_interp.training.tokens import TokenSequence, encode_example
from pkv_interp.training.trainer import TrainSettings, add_lora, train
from tests.families import tiny

#: Any value of a setting.
KNOWN = "|".join(sorted({value for two in memory_words.VALUES for value in two}))
COURSE = Memories(lines=(3, 12), looked_up=0.0, kept=0.0)
STAGES = (Stage(steps=2, lessons="rules", lr=(1e-2, 1e-2), batch=4, mix={"plain": 0.5, "late": 0.5}),)


def drawn(seed: int, course: Memories = COURSE, breadth: float = 1.0) -> list[Example]:
    return lessons(np.random.default_rng(seed), course, breadth)


def text_of(example: Example) -> str:
    (turn,) = example.turns
    return turn.text


def values_of(text: str) -> dict[str, str]:
    """Names and values of the list in a lesson."""
    line = rf"^(?:[-*] )?(?:\[\w+\] )?(?P<name>[a-z ]+?)(?:: | = | is )(?P<value>{KNOWN})(?: \(.*\))?$"
    return {found["name"]: found["value"] for found in re.finditer(line, text, re.MULTILINE)}


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
def test_pairs_of_questions_differ_in_the_settings_that_they_name_and_answers_follow(seed: int) -> None:
    made = drawn(seed, Memories(lines=(2, 20), looked_up=0.0, kept=0.0, pairs=4))
    assert len(made) == 8
    beginnings = {text_of(one).rpartition("\n\n")[0] for one in made}
    assert len(beginnings) == 1
    assert len({one.system for one in made}) == 1
    values = values_of(text_of(made[0]))
    assert len(values) >= 2
    for yes, no in zip(made[::2], made[1::2], strict=True):
        assert (gold_of(yes.turns[0], values), gold_of(no.turns[0], values)) == (True, False)
        first, second = asked_of(text_of(yes)), asked_of(text_of(no))
        assert {name: first[name] for name in "vab"} == {name: second[name] for name in "vab"}
        named = {first[at] for at in "st" if at in first}
        assert len(named) == int(yes.kind[-1]) == int(no.kind[-1])
        assert named != {second[at] for at in "st" if at in second}
        off = [values[second[at].removeprefix("the ")] != second["v"] for at in "st" if at in second]
        assert sum(off) == 1  # exactly one setting turns the answer


@pytest.mark.parametrize("seed", range(10))
def test_a_value_is_looked_up_without_a_rule(seed: int) -> None:
    made = drawn(seed, Memories(lines=(4, 20), looked_up=1.0, kept=0.0, pairs=2))
    assert {one.kind for one in made} == {"memory0"}
    values = values_of(text_of(made[0]))
    assert abs(2 * list(values.values()).count(made[0].turns[0].answer or "") - len(values)) <= 1
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert first.turns[0].answer != second.turns[0].answer
        for one in (first, second):
            asked = text_of(one).rpartition("\n\n")[2]
            named = [name for name in values if re.search(rf"the {name}\b", asked)]
            assert values[max(named, key=len)] == one.turns[0].answer
            cue = one.turns[0].cue
            assert cue in ("Answer:", "Result:") or max(named, key=len) in cue


def test_lists_get_longer_and_stand_where_the_course_wants_them() -> None:
    long = Memories(lines=(2, 60))
    sizes = {b: [len(values_of(text_of(drawn(s, long, b)[0]))) for s in range(20)] for b in (0.0, 0.1, 1.0)}
    assert set(sizes[0.0]) == {2}
    assert max(sizes[0.1]) <= 8 < 30 < max(sizes[1.0])
    kinds = {
        one.kind for seed in range(10) for one in drawn(seed, Memories(two=1.0, looked_up=0.0, lines=(4, 9)))
    }
    assert kinds == {"memory2"}
    assert {one.kind for seed in range(10) for one in drawn(seed, Memories(two=0.0, looked_up=0.0))} == {
        "memory1"
    }
    titles = tuple(memory_words.TITLES)
    assert all(text_of(drawn(seed, Memories(late=0.0))[0]).startswith(titles) for seed in range(10))
    assert not all(text_of(drawn(seed, Memories(late=1.0))[0]).startswith(titles) for seed in range(20))
    with pytest.raises(ValueError, match="lists of 9 settings at least and 4 at most"):
        Memories(lines=(9, 4))


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_a_step_has_as_many_sequences_as_its_stage_says(kept: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pkv_interp.training.memory_course.ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr(vocabulary, "ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course._YES_NO", 0.0)
    tokenizer: Any = tiny("llama").tokenizer
    stage = Stage(steps=3, lessons="rules", lr=(1e-3, 1e-3), batch=10, mix={"plain": 0.5, "late": 0.5})
    course = memory_course(
        Memories(lines=(2, 4), looked_up=0.0, kept=kept, pairs=2), (stage,), 0, 4, tokenizer
    )
    made = [course.batches(step) for step in range(3)]
    assert [len(one) for one in made] == [10, 10, 10]
    assert made[0] == course.batches(0) != made[1]


def test_a_list_that_questions_share_runs_once_and_losses_are_those_of_whole_texts() -> None:
    model = tiny("llama").model
    begin, ends = tuple(range(5, 85)), ((90, 91, 92), (93, 94, 95, 96), (97, 98))
    group = [TokenSequence((*begin, *end), (79 + len(end) - 1,), (), "memory1") for end in ends]
    (joined,) = list_batches(group, 2048)
    assert shared_beginning(joined) == 80
    assert shared_beginning(joined[:1]) == 0
    ours, _ = list_losses(model, joined, 0)
    alone = torch.cat([supervised_losses(model, [one], 0)[0] for one in joined])
    assert torch.allclose(ours, alone, atol=1e-5)


def test_no_setting_rule_or_note_is_one_that_is_asked_about() -> None:
    taught = words_of((*memory_words.THINGS, *memory_words.PARTS, *memory_words.CATEGORIES))
    asked = words_of(
        (*asked_words.THINGS, *asked_words.FEATURES, *asked_words.CATEGORIES, *asked_words.ALIASES)
    )
    assert not taught & asked
    assert not set(memory_words.NOTES) & set(asked_words.NOTES)
    assert not set(memory_words.TITLES) & {asked_words.TITLE}
    rules = {one.format(s="X", v="V", a="yes", b="no") for one in (*memory_words.ONE, *memory_words.LOOKUPS)}
    asked_rules = {r.format(**{"all": "X", "is": "is", "on": "V"}) for r in asked_words.RULES.values()}
    assert not rules & asked_rules
    assert len(set(memory_words.THINGS)) == len(memory_words.THINGS)
    assert len(set(memory_words.PARTS)) == len(memory_words.PARTS)


def test_a_share_of_the_draws_is_the_stages_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course.ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr("pkv_interp.training.memory_course._YES_NO", 0.0)
    tokenizer: Any = tiny("llama").tokenizer
    kinds = {
        kept: {
            one.kind
            for number in range(4)
            for one in draw_memory(
                Memories(lines=(3, 4), looked_up=0.0, kept=kept), STAGES[0], (0, 0, number), 1.0, 4, tokenizer
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
    with pytest.raises(PkvError, match="no list has answers of this tokenizer"):
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


def test_settings_that_are_read_back_are_learnt_before_the_answer() -> None:
    tokenizer: Any = tiny("llama").tokenizer
    course = Memories(lines=(4, 8), two=0.5, looked_up=0.0, read_back=1.0, kept=0.0)
    kinds = set()
    for seed in range(12):
        for one in drawn(seed, course):
            (turn,) = one.turns
            kinds.add(one.kind)
            held = values_of(turn.text)
            assert len(turn.read) == int(one.kind[-1])
            for name, value in turn.read:
                assert f"the {name}" in turn.text.split("\n\n")[-1]
                assert held[name] == value
            try:
                made = encode_example(one, tokenizer)
            except PkvError:
                continue
            assert {made.told_as(at) for at in made.targets} == {one.kind, f"{one.kind}_value"}
            said = tokenizer.decode([made.ids[at + 1] for at in made.targets])
            told = "".join(f" {value}\n" for _, value in turn.read)
            assert said.replace(" ", "") == f"{told} {turn.answer}".replace(" ", "")
    assert kinds == {"read_memory1", "read_memory2"}
    assert "read" not in {one.kind.partition("_")[0] for one in drawn(0, COURSE)}
