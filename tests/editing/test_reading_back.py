"""A decision that reads a field back first: its value is written out of the cache, then the action."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.editing import State
from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import read_back_cue
from tests.editing.support import FIELD, LONG, NEW, OLD, OPTIONS, context_of
from tests.editing.test_isolated import isolated
from tests.families import FAMILIES, tiny


def written(monkeypatch: pytest.MonkeyPatch, value: str) -> list[str]:
    """Let every state read this value, and note what was asked for."""
    asked: list[str] = []

    def read(_: State, field: str, *__: Any) -> str:
        asked.append(field)
        return value

    monkeypatch.setattr(State, "read", read)
    return asked


@pytest.mark.parametrize("family", FAMILIES)
def test_the_decision_is_that_of_a_prefill_of_all_the_text(family: str) -> None:
    state = isolated(tiny(family)).reading_back(FIELD).edit(FIELD, NEW, "field_only")
    decided = state.decide(OPTIONS)
    assert decided.value is not None
    runner, renderer = state.context.runner, state.context.renderer
    suffix = state.suffix(cue=read_back_cue(FIELD, decided.value, state.context.cue))
    tail = renderer.after(suffix)
    cache = runner.prefill(state.ids, state.context.attention(state.layout.head)).cache
    assert (runner.extend(cache, tail).logits - decided.logits).abs().max() < 1e-4
    assert torch.equal(state.logits(), decided.logits)


def test_the_value_is_what_the_model_writes_on_one_line() -> None:
    state = context_of(tiny("llama")).reading_back(FIELD).prefill()
    most = len(state.context.renderer.after(f" {OLD}")) + 4
    text = state.generate(most, cue=f"{FIELD}:").text
    assert state.read(FIELD) == text.split("\n")[0].strip()
    other = state.edit(FIELD, LONG, "full_reprefill")
    longer = other.generate(most + 9, cue=f"{FIELD}:")
    assert "\n" in longer.text or len(state.context.renderer.after(f" {other.read(FIELD)}")) > most - 2
    assert state.decide(OPTIONS).value == state.read(FIELD)


def test_what_was_read_is_what_the_decision_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    state = context_of(tiny("llama")).prefill()
    asked = written(monkeypatch, "shipped")
    one = state.reading_back(FIELD).decide(OPTIONS)
    assert asked == [FIELD]
    plain: Any = state.decide(OPTIONS, cue=f"{FIELD}: shipped\nAction:")
    assert torch.equal(one.logits, plain.logits)
    assert plain.value is None
    assert asked == [FIELD]  # a plain context reads nothing
    monkeypatch.undo()
    written(monkeypatch, "pending")
    assert not torch.equal(state.reading_back(FIELD).decide(OPTIONS).logits, one.logits)


def test_reading_changes_no_cache_and_no_other_context() -> None:
    context = context_of(tiny("llama"))
    base = context.prefill()
    reading = context.reading_back(FIELD)
    assert context.read_back is None
    assert reading.prefill().cost.tokens == 0  # the prefill is shared
    assert torch.equal(reading.prefill().cache.keys[0], base.cache.keys[0])
    assert reading.reading_back(None).prefill().decide(OPTIONS).value is None
    other = base.reading_back(FIELD).edit(FIELD, NEW, "full_reprefill")
    assert other.context.read_back == FIELD


def test_a_field_that_is_not_there_is_refused() -> None:
    with pytest.raises(PkvError, match="there is no field 'colour' to read back"):
        context_of(tiny("llama")).reading_back("colour")
