"""The gate's training data: held-out words stay out, answers follow from the text, streams repeat."""

import numpy as np
import pytest

from pkv_interp.prompts.errata import UPDATES
from pkv_interp.tasks.families import FAMILIES
from pkv_interp.tasks.wordings import FILLERS, RULES
from pkv_interp.training import chat, vocabulary, wordings
from pkv_interp.training.examples import KINDS, batch, lesson, lessons, make


def stripped(template: str) -> str:
    """A wording without its slots."""
    for slot in ("field", "trigger", "act", "other", "value", "f", "t", "a", "b", "u", "v"):
        template = template.replace("{" + slot + "}", "_")
    return template.lower()


def test_no_word_of_an_evaluation_family_is_trained_on() -> None:
    assert not {f.field for f in FAMILIES} & set(vocabulary.FIELDS)
    assert not {v for f in FAMILIES for v in f.values} & {v for pool in vocabulary.VALUES for v in pool}
    assert not {a for f in FAMILIES for a in f.actions} & set(vocabulary.ACTIONS)


def test_no_evaluation_wording_is_trained_on() -> None:
    trained = {
        stripped(w) for w in (*wordings.RULES, *wordings.LISTINGS, *wordings.UPDATES, *wordings.FILLERS)
    }
    assert not trained & {stripped(w) for w in (*RULES.values(), *UPDATES.values(), *FILLERS)}
    text = " ".join(trained)
    for word in ("erratum", "disregard", "[state]", "out of date", "turned into", "effective immediately"):
        assert word not in text


def test_held_out_chat_shares_no_prompt_with_replay() -> None:
    assert not set(chat.TOPICS) & set(chat.HELD_OUT_TOPICS)
    assert not set(chat.REQUESTS) & set(chat.HELD_OUT_REQUESTS)
    assert not set(chat.prompts(True)) & set(chat.prompts(False))


def test_pools_have_no_repeats() -> None:
    for pool in (vocabulary.FIELDS, vocabulary.ACTIONS, wordings.RULES, wordings.UPDATES):
        assert len(set(pool)) == len(pool)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_differ_in_the_field_and_have_opposite_answers(kind: str) -> None:
    for seed in range(40):
        match, mismatch = (make(np.random.default_rng(seed), kind, side) for side in (True, False))
        assert match.kind == mismatch.kind == kind
        assert [t.answer for t in match.turns] != [t.answer for t in mismatch.turns]
        assert {t.answer for e in (match, mismatch) for t in e.turns} <= set(vocabulary.ACTIONS)
        assert len({t.answer for e in (match, mismatch) for t in e.turns}) == 2
        for example in (match, mismatch):
            text = " ".join(t.text for t in example.turns).lower()
            assert all(t.answer in text for t in example.turns)
            if kind == "other_update":
                assert len({t.answer for t in example.turns}) == 1  # another field's update changes nothing


def test_updates_change_the_decision() -> None:
    drawn = [make(np.random.default_rng(seed), "update", True) for seed in range(200)]
    twice = [e for e in drawn if len(e.turns) == 2]
    assert len(twice) > 30
    # one update between the two decisions flips the answer, two flip it back
    flips = [e.turns[0].answer != e.turns[1].answer for e in twice]
    assert 0.6 < np.mean(flips) < 0.95


def test_lessons_widen_and_their_questions_may_name_no_action() -> None:
    first = [lesson(np.random.default_rng(s), "plain", True, listings=True) for s in range(60)]
    second = [lesson(np.random.default_rng(s), "late", True, listings=False) for s in range(60)]
    assert {e.turns[0].text.split("\n\n")[-1] for e in first} <= set(wordings.OPEN_QUESTIONS)
    assert not {e.turns[0].text.split("\n\n")[-1] for e in second} <= set(wordings.OPEN_QUESTIONS)


def test_late_lessons_give_the_rule_first() -> None:
    for seed in range(20):
        plain, late = (lesson(np.random.default_rng(seed), k, True, listings=True) for k in ("plain", "late"))
        first, second = plain.turns[0].text.split("\n\n")[:2]
        assert late.turns[0].text.split("\n\n")[:2] == [second, first]
        assert plain.turns[0].answer == late.turns[0].answer


def test_streams_repeat_by_seed_and_step() -> None:
    mix = (0.4, 0.2, 0.3, 0.1)
    assert batch(0, 5, 8, mix, 1.0, 30) == batch(0, 5, 8, mix, 1.0, 30)
    assert batch(0, 5, 8, mix, 1.0, 30) != batch(0, 6, 8, mix, 1.0, 30)
    assert lessons(0, 5, 8, (0.5, 0.5, 0, 0), True) == lessons(0, 5, 8, (0.5, 0.5, 0, 0), True)
    assert {e.kind for step in range(10) for e in batch(0, step, 8, mix, 1.0, 30)} == set(KINDS)


def sentences(breadth: float) -> list[int]:
    drawn = [e for step in range(40) for e in batch(0, step, 8, (0.4, 0.2, 0.3, 0.1), breadth, 30)]
    return [" ".join(t.text for t in e.turns).count(".") for e in drawn]


def test_breadth_brings_long_documents() -> None:
    assert max(sentences(1.0)) > 30
    assert max(sentences(0.0)) < 12
    assert min(sentences(1.0)) < 4
