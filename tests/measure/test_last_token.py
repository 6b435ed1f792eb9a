"""The last token alone over an edited cache, with the question's columns of before the edit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.editing import EditableContext
from pkv_interp.errors import PkvError
from pkv_interp.measure.last_token import KeptQuestion
from tests.editing.support import FIELD, NEW, OPTIONS, QUESTION, context_of, messages, windowed
from tests.families import FAMILIES, tiny

#: In logits; both sides are the same sums in another order.
SAME = 1e-4
KEPT = (
    "stale",
    "field_only",
    "recompute@4",
    "oracle_patch@4",
    "cacheblend@0.2",
    "epic",
    "suffix_recompute@4",
)
RUN = ("suffix_recompute", "full_reprefill", "erratum", "field_erratum", "hoist")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_unedited_cache_decides_alike_by_both_readouts(family: str) -> None:
    base = context_of(windowed(family)).prefill()
    question = KeptQuestion.of(base)
    assert question.columns.length == len(base.context.renderer.after(base.suffix())) - 1
    alone, rerun = question.decide(base, OPTIONS), base.decide(OPTIONS)
    assert torch.allclose(alone.logits, rerun.logits, atol=SAME)
    assert alone.ids == rerun.ids


@pytest.mark.parametrize("method", KEPT)
def test_an_edit_in_place_keeps_the_question(method: str) -> None:
    """The slow way: every column by hand, the question's from a prefill of the old prompt whole."""
    loaded = tiny("llama")
    base = context_of(loaded).prefill()
    question, state = KeptQuestion.of(base), base.edit(FIELD, NEW, method)
    assert question.is_kept_by(state)
    suffix = base.context.renderer.after(base.suffix())
    grown = base.context.runner.prefill((*base.ids, *suffix)).cache.view()
    for layer, (key, value) in enumerate(zip(state.cache.keys, state.cache.values, strict=True)):
        kept: Any = grown.layers[layer]
        kept.keys = torch.cat([key, kept.keys[:, :, len(base.ids) : -1]], 2)
        kept.values = torch.cat([value, kept.values[:, :, len(base.ids) : -1]], 2)
    at = torch.tensor([len(base.ids) + len(suffix) - 1])
    with torch.no_grad():
        out = loaded.model(
            input_ids=torch.tensor([suffix[-1:]]),
            position_ids=at[None],
            cache_position=at,
            past_key_values=grown,
        )
    found = question.decide(state, OPTIONS).logits
    assert torch.allclose(found, out.logits[0, -1].float(), atol=SAME)
    if method != "stale":
        assert not torch.allclose(found, state.logits(), atol=SAME)  # the question read the edited columns


@pytest.mark.parametrize("method", RUN)
def test_where_the_question_must_run_it_does(method: str) -> None:
    base = context_of(tiny("llama")).prefill()
    question, state = KeptQuestion.of(base), base.edit(FIELD, NEW, method)
    assert not question.is_kept_by(state)
    assert torch.equal(question.decide(state, OPTIONS).logits, state.decide(OPTIONS).logits)


def test_auto_keeps_it_where_the_field_alone_was_used() -> None:
    base = context_of(tiny("llama")).prefill()
    state = base.edit(FIELD, NEW, "auto", options=OPTIONS)
    assert state.diagnostic is not None
    assert KeptQuestion.of(base).is_kept_by(state) == (state.diagnostic.used == "field_only")


def test_a_suffix_of_one_token_has_no_columns() -> None:
    loaded = tiny("llama")
    context = EditableContext(loaded.model, loaded.tokenizer, messages(), cue="", chat=False)
    base = context.prefill()
    assert len(context.renderer.after(base.suffix())) == 1
    question = KeptQuestion.of(base)
    assert question.columns.length == 0
    state = base.edit(FIELD, NEW, "field_only")
    assert question.decide(state, OPTIONS).margin == pytest.approx(state.decide(OPTIONS).margin, abs=SAME)


def test_an_edited_context_is_refused() -> None:
    base = context_of(tiny("llama")).prefill()
    with pytest.raises(PkvError, match="edited in part; give the prefilled context"):
        KeptQuestion.of(base.edit(FIELD, NEW, "field_only"))


def test_options_are_checked_as_elsewhere() -> None:
    base = context_of(tiny("llama")).prefill()
    assert QUESTION in base.suffix()
    with pytest.raises(PkvError, match="1 options"):
        KeptQuestion.of(base).decide(base, OPTIONS[:1])
