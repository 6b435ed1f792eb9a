"""Text over an edited cache: what the model itself would write."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.editing import EditableContext, Generation
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from tests.editing.support import FIELD, NEW, QUESTION, context_of, copy_of, gpt2, messages
from tests.families import tiny as tiny_of


def test_greedy_text_is_that_of_transformers_own_generate(tiny: LoadedModel) -> None:
    state = context_of(tiny).prefill()
    prompt = [*state.ids, *state.context.renderer.after(state.suffix())]
    model: Any = tiny.model
    out = model.generate(
        torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=tiny.tokenizer.pad_token_id
    )
    found = state.generate(8)
    expected = out[0, len(prompt) :].tolist()
    assert list(found.ids) == expected[: len(found.ids)]
    assert len(found.ids) == 8 or expected[len(found.ids)] == tiny.tokenizer.eos_token_id
    assert found.text == tiny.tokenizer.decode(list(found.ids), skip_special_tokens=True)


def test_an_edited_cache_is_continued_as_it_stands() -> None:
    model, tokenizer = gpt2()
    edited = EditableContext(model, tokenizer, messages(), QUESTION).edit(FIELD, NEW, "field_only")
    first = edited.generate(1)
    assert first.ids[0] == int(edited.logits().argmax())
    kept = copy_of(edited.cache)
    assert edited.generate(5).ids[0] == first.ids[0]
    assert torch.equal(copy_of(edited.cache), kept)


def test_sampling_follows_its_seed() -> None:
    state = context_of(tiny_of("llama")).prefill()
    one, two = (state.generate(12, temperature=1.0, seed=seed) for seed in (1, 2))
    assert one == state.generate(12, temperature=1.0, seed=1)
    assert one.ids != two.ids
    cold = state.generate(12, temperature=1e-4, seed=1)
    assert cold.ids == state.generate(12).ids


def test_it_stops_at_the_end_token_and_at_a_text() -> None:
    loaded = tiny_of("llama")
    state = context_of(loaded).prefill()
    free = state.generate(6)
    assert not free.stopped
    words = str(loaded.tokenizer.decode([free.ids[2]])).strip()
    cut = state.generate(6, stop=[words])
    assert cut.stopped
    assert words not in cut.text
    assert free.text.startswith(cut.text)
    model: Any = loaded.model
    named = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = free.ids[3]
    try:
        ended = state.generate(6)
    finally:
        model.generation_config.eos_token_id = named
    assert ended.stopped
    first = free.ids.index(free.ids[3])
    assert ended.ids == free.ids[:first]


def test_the_thinking_switch_is_the_templates() -> None:
    loaded = tiny_of("qwen3")

    def suffix(thinking: bool | None) -> str:
        made = EditableContext(loaded.model, loaded.tokenizer, messages(), QUESTION, thinking=thinking)
        return made.prefill().suffix()

    assert "<think>\n\n</think>\n\nAction:" in suffix(False)
    assert "<think>" not in suffix(True)
    assert Generation("<think>so it is shipped</think>\n\ncancel", (1,), True).answer == "cancel"
    assert Generation(" cancel", (1,), True).answer == "cancel"


def test_no_tokens_and_negative_temperatures_are_refused() -> None:
    state = context_of(tiny_of("llama")).prefill()
    for most, temperature in ((0, 0.0), (1, -1.0)):
        with pytest.raises(PkvError, match="at least 1 token"):
            state.generate(most, temperature)
