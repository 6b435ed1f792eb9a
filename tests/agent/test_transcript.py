"""Transcripts: what stays token by token from turn to turn, and where policy and field lie."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkv_interp.agent import Transcript
from pkv_interp.agent.transcript import field_span, policy_span
from pkv_interp.agent.world import Outcome
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Style
from tests.agent.support import one
from tests.families import tiny as tiny_of

SAID = Outcome(True, "A1: done.")


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("field_late", [True, False])
def test_a_turn_keeps_all_but_the_question_of_the_last(
    tiny: LoadedModel, chat: bool, field_late: bool
) -> None:
    tokenizer = tiny.tokenizer
    made = one(tokenizer=tokenizer)
    first = Transcript.open(made, Style(n_fillers=2, chat=chat, field_late=field_late))
    second = first.then(SAID)
    third = second.then(SAID, "override")
    for before, after in ((first, second), (second, third)):
        old, new = before.prompt(tokenizer), after.prompt(tokenizer)
        asked = old.spans["conversation"][0]
        assert new.ids[: asked - 1] == old.ids[: asked - 1]
        assert new.ids[: asked + 3] != old.ids[: asked + 3]
        assert new.ids[-1] == old.ids[-1]
        for record in (t.record for t in made.turns):
            assert (record in new.text) == (record == made.turns[after.turn].record)
    text = third.prompt(tokenizer).text
    assert text.count("Erratum:") == 1
    assert text.count("Log\n") == 1
    assert text.count("A1: done.") == 2
    assert made.turns[2].value in text[text.index("Erratum:") :].splitlines()[0]


def test_the_value_stated_changes_its_own_tokens_alone(tiny: LoadedModel) -> None:
    tokenizer = tiny.tokenizer
    made = one(tokenizer=tokenizer)
    opening = Transcript.open(made, Style(n_fillers=2))
    span = field_span(opening, tokenizer)
    for transcript in (opening, opening.then(SAID, "tagged")):
        one_way, other = (transcript.stating(value).prompt(tokenizer).ids for value in made.values)
        differ = [i for i, (a, b) in enumerate(zip(one_way, other, strict=True)) if a != b]
        assert differ
        assert set(differ) <= set(range(*span))


@pytest.mark.parametrize("field_late", [True, False])
def test_the_policy_is_all_of_the_policy_and_nothing_else(field_late: bool) -> None:
    tokenizer = tiny_of("llama").tokenizer
    made = one(tokenizer=tokenizer)
    style = Style(n_fillers=2, field_late=field_late)
    prompt = Transcript.open(made, style).prompt(tokenizer)
    start, end = policy_span(prompt)
    text = "".join(prompt.tokens[start:end])
    assert text.strip().startswith("Policy")
    assert all(filler in text for filler in made.chosen.fillers)
    assert f"If the {made.family.field} is {made.trigger}" in text
    assert "Session" not in text
    assert "Tools" not in text
    # No record, value or bystander in it: one chunk serves every session of the domain.
    other = replace(
        made,
        turns=(replace(made.turns[0], record="B2222", value=made.values[1]), *made.turns[1:]),
        chosen=replace(made.chosen, bystanders=("desk: west", "shift: early")),
        preface=("Keys are handed in.", "Old forms are recycled.", "Plants are cared for."),
    )
    again = Transcript.open(other, style).prompt(tokenizer)
    assert tuple(again.ids[i] for i in range(*policy_span(again))) == prompt.ids[start:end]
    assert policy_span(again)[0] != start
