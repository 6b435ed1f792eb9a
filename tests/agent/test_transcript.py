"""Transcripts: append-only token by token, the policy's span exact, one value apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkv_interp.agent import open_transcript
from pkv_interp.agent.world import Outcome
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Style
from tests.agent.support import one
from tests.families import tiny as tiny_of

SAID = Outcome(True, "share A1: done.")


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("field_late", [True, False])
def test_later_turns_only_append(tiny: LoadedModel, chat: bool, field_late: bool) -> None:
    tokenizer = tiny.tokenizer
    made = one(tokenizer=tokenizer)
    first = open_transcript(made, Style(n_fillers=2, chat=chat, field_late=field_late), tokenizer)
    second = first.then(1, made.actions[1], SAID, None, tokenizer)
    third = second.then(2, made.actions[0], SAID, "override", tokenizer)
    for before, after in ((first, second), (second, third)):
        assert after.ids[: len(before.ids)] == before.ids
        assert after.ids[-1] == before.ids[-1]
        assert after.ids[len(before.ids)] in first.action_ids
    assert second.ids[len(first.ids)] == first.action_ids[1]
    assert third.text.count("Erratum:") == 1
    assert second.text.endswith(first.style.cue)
    assert made.turns[1].record in second.text


def test_the_value_stated_changes_its_own_tokens_alone(tiny: LoadedModel) -> None:
    made = one(tokenizer=tiny.tokenizer)
    first = open_transcript(made, Style(n_fillers=2), tiny.tokenizer)
    other = first.stating(made.values[1])
    differ = [i for i, (a, b) in enumerate(zip(first.ids, other.ids, strict=True)) if a != b]
    assert differ
    assert set(differ) <= set(range(*first.field))
    assert other.then(1, made.actions[0], SAID, None, tiny.tokenizer).stating(made.values[0]).ids == (
        first.then(1, made.actions[0], SAID, None, tiny.tokenizer).ids
    )


@pytest.mark.parametrize("field_late", [True, False])
def test_the_policy_is_all_of_the_policy(field_late: bool) -> None:
    tokenizer = tiny_of("llama").tokenizer
    made = one(tokenizer=tokenizer)
    first = open_transcript(made, Style(n_fillers=2, field_late=field_late), tokenizer)
    start, end = first.policy
    text = tokenizer.decode(first.ids[start:end])
    assert text.strip().startswith("Policy")
    assert all(filler in text for filler in made.chosen.fillers)
    assert f"If the {made.family.field} is {made.trigger}" in text
    assert "Session" not in text
    assert "Tools" not in text
    # No other record, value or bystander in it: one chunk serves every session.
    moved = replace(made, turns=(replace(made.turns[0], record="B2222"), *made.turns[1:]))
    again = open_transcript(moved, Style(n_fillers=2, field_late=field_late), tokenizer)
    assert again.ids[start:end] == first.ids[start:end]
