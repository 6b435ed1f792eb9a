"""The gate's training data: held-out words stay out, answers follow from the text, streams repeat."""

import numpy as np
import pytest

from pkv_interp.tasks.families import FAMILIES
from pkv_interp.tasks.wordings import FILLERS, RULES, UPDATES
from pkv_interp.training import chat, vocabulary, wordings
from pkv_interp.training.examples import KINDS, batch, make


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
    trained = {stripped(w) for w in (*wordings.RULES, *wordings.LISTINGS, *wordings.UPDATES, *wordings.FILLERS)}
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
def test_the_answer_is_one_of_two_and_depends_on_the_field(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        example = make(rng, kind)
        assert example.kind == kind
        answers = {t.answer for t in example.turns}
        assert answers <= set(vocabulary.ACTIONS)
        text = " ".join(t.text for t in example.turns).lower()
        assert all(a in text for a in answers)
        if kind == "other_update":
            assert len(answers) == 1  # an update about another field changes nothing


def test_updates_change_the_decision() -> None:
    rng = np.random.default_rng(1)
    changed = [e for e in (make(rng, "update") for _ in range(200)) if len(e.turns) == 2]
    assert len(changed) > 30
    # one update between the two decisions flips the answer, two flip it back
    flips = [e.turns[0].answer != e.turns[1].answer for e in changed]
    assert 0.6 < np.mean(flips) < 0.95


def test_streams_repeat_by_seed_and_step() -> None:
    mix = (0.4, 0.2, 0.3, 0.1)
    assert batch(0, 5, 8, mix, 30) == batch(0, 5, 8, mix, 30)
    assert batch(0, 5, 8, mix, 30) != batch(0, 6, 8, mix, 30)
    assert {e.kind for step in range(10) for e in batch(0, step, 8, mix, 30)} == set(KINDS)
    counts = [" ".join(t.text for t in e.turns).count(".") for s in range(40) for e in batch(0, s, 8, mix, 30)]
    assert max(counts) > 30
    assert min(counts) < 4
