"""The gate's training data: held-out words stay out, answers follow from the text, streams repeat."""

import re
from collections import Counter

import numpy as np
import pytest

from pkv_interp.prompts.errata import ERRATA, UPDATES
from pkv_interp.tasks.families import FAMILIES
from pkv_interp.tasks.wordings import FILLERS, RULES
from pkv_interp.training import chat, event_wordings, vocabulary, wordings
from pkv_interp.training.examples import KINDS, Example, batch, lesson, lessons, make
from pkv_interp.training.probes import NEAR_FIELD, UNSEEN_LAYOUT
from pkv_interp.training.rules import draw_rule
from pkv_interp.training.updates import Kind, events

MIX: dict[Kind, float] = {
    "plain": 0.2,
    "late": 0.2,
    "update": 0.2,
    "several": 0.15,
    "reverted": 0.15,
    "other_update": 0.1,
}
#: Words of the errata that are tested with.
KEPT_OUT = (
    "erratum",
    "disregard",
    "[state]",
    "out of date",
    "turned into",
    "effective immediately",
    "given above",
    "work out the action",
    "just learned",
    "notice of change",
    "moved to",
)


def stripped(template: str) -> str:
    """A wording without its slots."""
    for slot in ("field", "trigger", "act", "other", "value", "f", "t", "a", "b", "u", "v"):
        template = template.replace("{" + slot + "}", "_")
    return template.lower()


def test_no_field_value_or_action_of_an_evaluation_family_is_trained_on() -> None:
    assert not {f.field for f in FAMILIES} & set(vocabulary.FIELDS)
    assert not {v for f in FAMILIES for v in f.values} & {v for pool in vocabulary.VALUES for v in pool}
    assert not {a for f in FAMILIES for a in f.actions} & set(vocabulary.ACTIONS)


def test_no_evaluation_wording_is_trained_on() -> None:
    reports = (*event_wordings.UPDATES, *event_wordings.BACK)
    trained = {stripped(w) for w in (*wordings.RULES, *wordings.LISTINGS, *reports, *wordings.FILLERS)}
    tested = (*RULES.values(), *UPDATES.values(), *ERRATA.values(), *FILLERS)
    assert not trained & {stripped(w) for w in tested}
    text = " ".join(trained)
    for word in KEPT_OUT:
        assert word not in text
    assert all(any(word in stripped(w) for w in UPDATES.values()) for word in KEPT_OUT)


def test_no_near_field_of_the_evaluation_is_named_like_one_of_the_training() -> None:
    assert not {w for name in (NEAR_FIELD,) for w in name.split() if "{" not in w} & {
        w for name in (*event_wordings.NEAR_FIELDS, *vocabulary.FIELDS) for w in name.split()
    }


def test_the_unseen_layout_shares_no_line_and_no_cue_with_the_training() -> None:
    unseen = UNSEEN_LAYOUT
    assert unseen.cue not in wordings.CUES
    trained = " ".join(
        " ".join(pool).lower()
        for pool in (wordings.HEADINGS, wordings.SESSION_HEADINGS, wordings.QUESTIONS, wordings.FIELD_FORMS)
    )
    for sign in ("~~", "dossier", "standing orders", "....", "we hold this", "your move"):
        assert sign in f"{unseen.state} {unseen.rule} {unseen.ask}".lower()
        assert sign not in trained


def test_held_out_chat_shares_no_prompt_with_replay() -> None:
    assert not set(chat.TOPICS) & set(chat.HELD_OUT_TOPICS)
    assert not set(chat.REQUESTS) & set(chat.HELD_OUT_REQUESTS)
    assert not set(chat.prompts(True)) & set(chat.prompts(False))


def test_pools_have_no_repeats() -> None:
    for pool in (
        vocabulary.FIELDS,
        vocabulary.ACTIONS,
        wordings.RULES,
        event_wordings.UPDATES,
        event_wordings.BACK,
        event_wordings.NEAR_FIELDS,
        wordings.FILLERS,
        chat.TOPICS,
        chat.REQUESTS,
    ):
        assert len(set(pool)) == len(pool)


def answers(example: Example) -> list[str]:
    return [turn.answer for turn in example.turns if turn.answer is not None]


def words(example: Example) -> str:
    """All that is said before the last answer."""
    said = [example.system]
    for turn in example.turns:
        said += [turn.text, turn.cue]
    return "\n".join(said)


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_differ_in_the_field_and_have_opposite_answers(kind: Kind) -> None:
    for seed in range(60):
        match, mismatch = (make(np.random.default_rng(seed), kind, side) for side in (True, False))
        assert match.kind == mismatch.kind == kind
        assert len(match.turns) == len(mismatch.turns)
        assert all(a != b for a, b in zip(answers(match), answers(mismatch), strict=True))
        assert set(answers(match)) | set(answers(mismatch)) <= set(vocabulary.ACTIONS)
        assert len({*answers(match), *answers(mismatch)}) == 2
        for example in (match, mismatch):
            text = words(example).lower()
            assert all(answer in text for answer in answers(example))
            assert example.turns[-1].answer is not None
            if kind == "other_update":
                assert len(set(answers(example))) == 1  # another field's update changes nothing


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_but_values_of_the_rule_tells_the_two_of_a_pair_apart(kind: Kind) -> None:
    """Whatever else differed could hint at the action; lines that differ hold one of two values each."""
    for seed in range(60):
        match, mismatch = (make(np.random.default_rng(seed), kind, side) for side in (True, False))
        told = [words(e).replace("\n", " ").split(" ") for e in (match, mismatch)]
        # Answers given on the way are the other member's, swapped.
        assert len(told[0]) == len(told[1])
        apart = {(a, b) for a, b in zip(*told, strict=True) if a != b}
        bare = {tuple(sorted(re.sub(r"[^\w]", " ", w).split()[-1] for w in pair)) for pair in apart}
        assert len(apart) >= 1
        values = {frozenset(p) for p in bare}
        assert len(values) <= 2, apart


@pytest.mark.parametrize("late", [True, False])
def test_events_come_after_documents_of_either_order(late: bool) -> None:
    for seed in range(30):
        example = make(np.random.default_rng(seed), "update", True, breadth=0.0, late=late)
        blocks = example.turns[0].text.split("\n\n")
        heads = [b.split("\n")[0] for b in blocks]
        first = [h for h in heads if h in (*wordings.HEADINGS[:2], *wordings.SESSION_HEADINGS[:2])][0]
        assert first in (wordings.HEADINGS[:2] if late else wordings.SESSION_HEADINGS[:2])


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_event_of_the_rules_field_holds(kind: Kind) -> None:
    """An independent reading of the lines: the last one that names the field exactly gives the value."""
    last_is_first = 0
    for seed in range(80):
        rng = np.random.default_rng(seed)
        rule = draw_rule(rng, plain=True)
        told = events(rng, kind, rule, rule.trigger, ("tide", "pump state"), 1.0)
        value = rule.trigger
        near = [*event_wordings.NEAR_FIELDS]
        for event in told:
            # Names that contain the field's are of other fields: take those out first.
            text = event.text.lower()
            for form in near:
                text = text.replace(form.format(f=rule.name), "another field")
            kin = [f for f in vocabulary.FIELDS if rule.name in f and f != rule.name]
            for name in kin:
                text = text.replace(name, "another field")
            if re.search(rf"\b{re.escape(rule.name)}\b", text):
                pool = {rule.trigger, rule.other, *rule.third}
                rest = text.replace(rule.name, "")
                assert event.value in {v for v in pool if re.search(rf"\b{re.escape(v.lower())}\b", rest)}
                value = event.value
            else:
                assert event.value == value
        own = value == rule.trigger
        if kind == "update":
            assert not own
        elif kind in ("reverted", "other_update", "plain", "late"):
            assert own
        last_is_first += own
        assert (len(told) == 0) == (kind in ("plain", "late"))
    if kind == "several":
        assert 20 < last_is_first < 60


def test_updates_of_other_fields_tempt() -> None:
    """Most give the value that would change the decision, and many are named like the rule's field."""
    tempting, near, total = 0, 0, 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rule = draw_rule(rng, plain=True)
        for event in events(rng, "other_update", rule, rule.trigger, (), 1.0):
            total += 1
            tempting += rule.other.lower() in event.text.lower()
            near += bool(set(rule.name.split()) & set(re.findall(r"\w+", event.text.lower())))
    assert tempting / total > 0.6
    assert near / total > 0.5


def test_decisions_change_with_the_updates_between_them() -> None:
    flips: dict[str, list[bool]] = {}
    for kind in ("update", "several", "reverted"):
        for seed in range(200):
            said = answers(make(np.random.default_rng(seed), kind, True))
            if len(said) > 1:
                flips.setdefault(kind, []).append(said[0] != said[-1])
    assert len(flips["update"]) > 30
    assert np.mean(flips["update"]) > 0.8  # where it is not so, the first decision comes after the change
    assert 0.3 < np.mean(flips["several"]) < 0.7
    assert 0.0 < np.mean(flips["reverted"]) < 0.2  # where the first decision comes after the first event


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
    assert batch(0, 5, 8, MIX, 1.0, 30, 2) == batch(0, 5, 8, MIX, 1.0, 30, 2)
    assert batch(0, 5, 8, MIX, 1.0, 30) != batch(0, 6, 8, MIX, 1.0, 30)
    half: dict[Kind, float] = {"plain": 0.5, "late": 0.5}
    assert lessons(0, 5, 8, half, True) == lessons(0, 5, 8, half, True)
    assert {e.kind for step in range(15) for e in batch(0, step, 8, MIX, 1.0, 30)} == set(KINDS)


def test_kinds_come_in_their_shares() -> None:
    drawn = Counter(e.kind for step in range(300) for e in batch(0, step, 8, MIX, 0.0, 1))
    for kind, share in MIX.items():
        assert drawn[kind] / drawn.total() == pytest.approx(share, abs=0.05)


def test_endings_over_one_document_begin_alike_and_are_of_different_kinds() -> None:
    for step in range(20):
        found = batch(0, step, 12, MIX, 0.5, 20, endings=3)
        assert len(found) == 12
        for six in (found[:6], found[6:]):
            assert len({e.kind for e in six}) == 3
            assert len({e.system.split("\n")[0] for e in six}) == 1
            for side in (six[::2], six[1::2]):
                beginnings = {(e.system, e.turns[0].text[:40]) for e in side}
                assert len(beginnings) == 1


def sentences(breadth: float) -> list[int]:
    drawn = [e for step in range(40) for e in batch(0, step, 8, MIX, breadth, 90)]
    return [" ".join(t.text for t in e.turns).count(".") for e in drawn]


def test_breadth_brings_long_documents() -> None:
    assert max(sentences(1.0)) > 60
    assert max(sentences(0.0)) < 14
    assert min(sentences(1.0)) < 4


def test_breadth_brings_other_skeletons() -> None:
    broad = [words(e) for step in range(60) for e in batch(0, step, 8, MIX, 1.0, 10)]
    narrow = [words(e) for step in range(60) for e in batch(0, step, 8, MIX, 0.0, 10)]
    for mark in ("| --- |", '{\n  "', "\n---\n", "\n* ", "\n1. "):
        assert any(mark in text for text in broad), mark
        assert not any(mark in text for text in narrow), mark
    replies = [sum(t.answer is None for t in e.turns) for e in batch(0, 1, 200, MIX, 1.0, 10)]
    assert 0 < np.mean(np.array(replies) > 0) < 0.5
