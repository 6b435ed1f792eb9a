"""A decision that reads a field back first: its value is written out of the cache, then the action."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.composing import token_ids
from pkv_interp.editing import Generation, State, generation
from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import read_back_cue
from tests.editing.support import FIELD, LONG, NEW, OLD, OPTIONS, context_of
from tests.editing.test_isolated import isolated
from tests.families import FAMILIES, tiny


def written(monkeypatch: pytest.MonkeyPatch, value: str) -> list[str]:
    """Let every state read this value, and note what was asked for."""
    asked: list[str] = []

    def read(_: State, _cache: FrozenCache, _ids: tuple[int, ...], field: str) -> str:
        asked.append(field)
        return value

    monkeypatch.setattr(State, "_read", read)
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
    text = state.generate(len(state.context.renderer.after(f" {OLD}")) + 4, cue=f"{FIELD}:").text
    assert state.read(FIELD) == text.split("\n")[0].strip()
    assert state.decide(OPTIONS).value == state.read(FIELD)


@pytest.mark.parametrize("value", [OLD, LONG])
def test_it_may_be_four_tokens_longer_than_the_value_in_the_text(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = context_of(tiny("llama")).prefill().edit(FIELD, value, "full_reprefill")
    asked: list[int] = []

    def generate(
        _: Any, __: Any, _cache: FrozenCache, _ids: tuple[int, ...], most: int, **___: Any
    ) -> Generation:
        asked.append(most)
        return Generation(" shipped\nAction: cancel", (), stopped=True)

    monkeypatch.setattr(generation, "generate", generate)
    assert state.read(FIELD) == "shipped"  # and nothing of the line after it
    assert asked == [len(token_ids(state.context.renderer.tokenizer, f" {value}")) + 4]


def test_what_was_read_is_what_the_decision_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    state = context_of(tiny("llama")).prefill()
    asked = written(monkeypatch, "shipped")
    one = state.reading_back(FIELD).decide(OPTIONS)
    assert asked == [FIELD]
    plain: Any = state.decide(OPTIONS, cue=f"{FIELD}: shipped\nAction:")
    assert float((one.logits - plain.logits).abs().max()) < 1e-4
    assert plain.value is None
    assert asked == [FIELD]  # a plain context reads nothing
    monkeypatch.undo()
    written(monkeypatch, "pending")
    assert not torch.equal(state.reading_back(FIELD).decide(OPTIONS).logits, one.logits)


def test_the_question_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    state = context_of(tiny("llama")).prefill()
    written(monkeypatch, "shipped")
    ran: list[int] = []
    extend = Runner.extend

    def counted(self: Runner, cache: FrozenCache, ids: tuple[int, ...]) -> Computed:
        ran.append(len(ids))
        return extend(self, cache, ids)

    monkeypatch.setattr(Runner, "extend", counted)
    question = "What is to be done?\n" * 20
    state.reading_back(FIELD).decide(OPTIONS, question)
    after = state.context.renderer.after
    whole = len(after(state.suffix(question, read_back_cue(FIELD, "shipped", state.context.cue))))
    assert sum(ran) == whole
    assert ran[0] == len(after(state.suffix(question, read_back_cue(FIELD)))) - 1


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
    context = context_of(tiny("llama"))
    for ask in (context.reading_back, context.prefill().reading_back, context.prefill().read):
        with pytest.raises(PkvError, match=f"there is no field 'colour'; the fields are language, {FIELD}"):
            ask("colour")
