"""Chains of edits, appended text, decisions and their cost."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from pkv_interp.editing import EditableContext, State, field, system, user
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Message, Segment, build
from tests.editing.support import (
    FIELD,
    LONG,
    NEW,
    OLD,
    OPTIONS,
    QUESTION,
    columns,
    context_of,
    copy_of,
    difference,
    messages,
)
from tests.families import tiny as tiny_of

EXACT = 1e-5


@pytest.fixture(scope="module")
def base() -> State:
    return context_of(tiny_of("llama")).prefill()


def test_context_and_suffix_are_the_prompt_that_the_template_makes(tiny: LoadedModel) -> None:
    state = context_of(tiny).prefill()
    system_message, user_message = messages()
    asked = Message("user", (*user_message.segments, Segment("decision", QUESTION, "question")))
    whole = build((system_message, asked), Segment("decision", "Action:"), tiny.tokenizer)
    assert state.text + state.suffix() == whole.text
    assert state.ids + state.context.renderer.after(state.suffix()) == whole.ids
    decision = state.decide(OPTIONS)
    logits = state.context.runner.prefill(whole.ids).logits
    assert (decision.logits - logits).abs().max() < 1e-4
    first, second = action_ids(whole, OPTIONS, tiny.tokenizer)
    assert decision.margin == pytest.approx(float(logits[first] - logits[second]), abs=1e-4)
    assert decision.choice == OPTIONS[0 if decision.margin > 0 else 1]
    chances = logits.softmax(-1)
    assert decision.probabilities == pytest.approx(
        {"cancel": float(chances[first]), "deny": float(chances[second])}, abs=1e-5
    )
    assert decision.top[0][1] == pytest.approx(float(chances.max()), abs=1e-5)


def test_a_decision_can_be_between_more_than_two(base: State) -> None:
    options = ("cancel", "refund", "deny")
    decision, two = base.decide(options), base.decide(OPTIONS)
    assert decision.choice == max(decision.probabilities, key=lambda option: decision.probabilities[option])
    assert tuple(decision.probabilities) == options
    assert decision.probabilities["deny"] == two.probabilities["deny"]
    swapped = base.decide(("refund", "cancel", "deny"))
    assert swapped.margin == -decision.margin
    assert swapped.choice == decision.choice
    other = base.decide(OPTIONS, question="What now?", cue="Answer:")
    assert float((other.logits - two.logits).abs().max()) > 1e-3


@pytest.mark.parametrize("chat", [True, False])
def test_spans_cover_the_values(chat: bool) -> None:
    loaded = tiny_of("gemma2")
    state = EditableContext(loaded.model, loaded.tokenizer, messages(), QUESTION, chat=chat).prefill()
    for name, value in (("language", "English"), (FIELD, OLD)):
        start, stop = state.spans[name]
        words = [loaded.tokenizer.decode([token]) for token in state.ids[start:stop]]
        assert "".join(map(str, words)).strip() == value


def test_there_and_back_again_in_place_is_where_it_began(base: State) -> None:
    away = base.edit(FIELD, NEW, "field_only")
    back = away.edit(FIELD, OLD, "field_only")
    assert back.ids == base.ids
    assert difference(back.cache, base.cache) < EXACT
    assert back.total.tokens == 2
    assert away.fields[FIELD] == NEW
    assert back.fields == base.fields


def test_errata_follow_each_other_and_leave_what_stands_before_bit_for_bit(base: State) -> None:
    there = base.edit(FIELD, NEW, "erratum")
    back = there.edit(FIELD, OLD, "erratum", wording="tagged")
    assert back.text == (
        f"{base.text}Erratum: the {FIELD} given above is out of date. It is {NEW}.\n[STATE] {FIELD} = {OLD}\n"
    )
    assert back.fields[FIELD] == OLD
    for shorter in (base, there):
        n = len(shorter.ids)
        assert torch.equal(columns(back.cache, range(n)), columns(shorter.cache, range(n)))
    assert back.total.tokens == len(back.ids) - len(base.ids)


def test_rewriting_after_errata_gives_the_clean_text_and_keeps_what_was_appended(base: State) -> None:
    state = base.edit(FIELD, NEW, "field_erratum").append("A note was added.\n")
    for method in ("full_reprefill", "suffix_recompute"):
        clean = state.edit(FIELD, LONG, method)
        assert "Erratum" not in clean.text
        assert clean.text.endswith("A1000.\nA note was added.\n")
        assert difference(clean.cache, base.context.runner.prefill(clean.ids).cache) < EXACT


def test_field_erratum_can_follow_itself(base: State) -> None:
    there = base.edit(FIELD, NEW, "field_erratum")
    back = there.edit(FIELD, OLD, "field_erratum")
    n = len(base.ids)
    assert difference(back.cache.slice(0, n), base.cache) < EXACT
    assert back.text.startswith(there.text.replace(f"{FIELD}: {NEW}", f"{FIELD}: {OLD}"))


def test_several_fields_are_edited_one_after_the_other(base: State) -> None:
    both = base.edit(FIELD, NEW, "field_only").edit("language", "Dutch", "field_only")
    swapped = base.edit("language", "Dutch", "field_only").edit(FIELD, NEW, "field_only")
    assert both.fields == {"language": "Dutch", FIELD: NEW}
    assert both.ids == swapped.ids
    # The field after reads the one before it, so the order of in-place edits shows in its column alone.
    status = range(*both.spans[FIELD])
    rest = [i for i in range(len(both.ids)) if i not in status]
    assert (columns(both.cache, rest) - columns(swapped.cache, rest)).abs().max() < EXACT
    assert (columns(both.cache, status) - columns(swapped.cache, status)).abs().max() > EXACT
    clean = both.edit(FIELD, LONG, "full_reprefill")
    assert "language: Dutch" in clean.text


def test_hoisted_fields_stand_at_the_end_together(base: State) -> None:
    state = base.edit(FIELD, NEW, "hoist").edit("language", "Dutch", "hoist")
    assert state.text.endswith(f"Order status: {NEW}\nLanguage: Dutch\n")
    moved = state.edit(FIELD, OLD, "hoist")
    assert moved.text.endswith(f"Language: Dutch\nOrder status: {OLD}\n")
    assert difference(moved.cache, base.context.runner.prefill(moved.ids).cache) < EXACT
    start, stop = moved.spans[FIELD]
    assert stop == len(moved.ids)
    assert moved.cost.tokens == len(moved.ids) - state.spans[FIELD][0]
    back = moved.edit(FIELD, NEW, "full_reprefill")
    assert f"{FIELD}: {NEW}" in back.text
    assert start > back.spans[FIELD][0]


def test_text_can_be_appended_at_a_cost(base: State) -> None:
    more = base.append("The customer called twice.\n")
    added = len(more.ids) - len(base.ids)
    assert more.text == base.text + "The customer called twice.\n"
    assert (more.cost.tokens, more.total.tokens) == (added, added)
    assert more.cost.share == pytest.approx(added / len(more.ids))
    assert difference(more.cache, base.context.runner.prefill(more.ids).cache) < EXACT


def test_the_prefill_is_made_once_and_a_value_that_stands_costs_nothing(base: State) -> None:
    assert base.context.prefill() is base
    assert base.cost.tokens == len(base.ids)
    same = base.edit(FIELD, OLD, "full_reprefill")
    assert same.cache is base.cache
    assert (same.cost.tokens, same.cost.milliseconds) == (0, 0.0)


def test_costs_are_counted(base: State) -> None:
    n = len(base.ids)
    after = n - base.spans[FIELD][1]
    expected = {
        "stale": 0,
        "field_only": 1,
        "full_reprefill": n,
        "suffix_recompute": after + 1,
        "recompute@5": 6,
        "oracle_patch@5": n,
        "cacheblend@0.5": 1 + round(after / 2),
    }
    for method, tokens in expected.items():
        cost = base.edit(FIELD, NEW, method).cost
        assert cost.tokens == tokens, method
        assert cost.share >= tokens / n, method
        assert not cost.prompt_surgery
        assert cost.milliseconds > 0
    noted = base.edit(FIELD, NEW, "field_erratum")
    assert noted.cost.tokens == 1 + len(noted.ids) - n


def test_epic_takes_the_first_tokens_of_each_paragraph_message_and_piece(base: State) -> None:
    from pkv_interp.editing.methods.epic import chunk_starts

    state = base.append("A note was added.\n")
    tokenizer = state.context.renderer.tokenizer
    opened = [tokenizer.decode(state.ids[start : start + 2]).strip() for start in chunk_starts(state.layout)]
    assert opened == ["<bos><|im_start|>", "You handle", "Session", "Policy", "The customer", "A note"]
    edited = state.edit(FIELD, NEW, "epic@2")
    starts = [start for start in chunk_starts(state.layout) if start > state.spans[FIELD][1]]
    linked = [*range(*state.spans[FIELD]), *(i for start in starts for i in (start, start + 1))]
    rest = [i for i in range(len(state.ids)) if i not in linked]
    assert torch.equal(columns(edited.cache, rest), columns(state.cache, rest))
    assert edited.cost.tokens == len(linked) == 1 + 2 * 3


def test_nothing_of_this_needs_nnsight() -> None:
    code = (
        "import sys, pkv_interp.editing\n"
        "bad = {'nnsight', 'transformer_lens'} & set(sys.modules)\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_messages_take_texts_and_fields() -> None:
    made = user("a ", field("f", "v"), " b")
    assert made.text == "a v b"
    assert [s.kind for s in made.segments] == ["conversation", "field", "conversation"]
    assert system("x").role == "system"


def test_states_and_decisions_are_shown_without_their_tensors(base: State) -> None:
    shown = repr(base.edit(FIELD, NEW, "field_only"))
    assert (
        shown
        == f"State({{'language': 'English', '{FIELD}': '{NEW}'}}, by field_only, {len(base.ids)} tokens)"
    )
    assert "tensor" not in repr(base.decide(OPTIONS))


def test_few_layouts_are_kept(base: State) -> None:
    context = context_of(tiny_of("llama"))
    languages = ("Dutch", "Spanish", "German", "French", "Greek")
    for language in languages:
        moved = context.edit("language", language, "full_reprefill").edit(FIELD, NEW, "hoist")
        assert moved.cost.setup_tokens > 0
    again = context.edit("language", languages[-1], "full_reprefill").edit(FIELD, NEW, "hoist")
    assert again.cost.setup_tokens == 0
    first = context.edit("language", languages[0], "full_reprefill").edit(FIELD, NEW, "hoist")
    assert first.cost.setup_tokens > 0
    assert context.prefill() is context.prefill()
    assert context.prefill().ids == base.ids


def test_a_state_is_not_touched_by_later_ones(base: State) -> None:
    kept = copy_of(base.cache)
    state = base
    for turn in range(4):
        state = state.edit(FIELD, (NEW, OLD)[turn % 2], "field_erratum").append(f"Turn {turn}.\n")
    assert torch.equal(copy_of(base.cache), kept)
    assert state.cache.length == len(state.ids)


def test_a_value_that_stands_in_a_stale_cache_is_computed(base: State) -> None:
    stale = base.edit(FIELD, NEW, "field_only")
    assert not stale.fresh
    renewed = stale.edit(FIELD, NEW, "full_reprefill")
    assert renewed.fresh
    assert renewed.cost.tokens == len(base.ids)
    assert difference(renewed.cache, base.edit(FIELD, NEW, "full_reprefill").cache) < 1e-6
    assert difference(stale.cache, renewed.cache) > 1e-3


@pytest.mark.parametrize("method", ["field_only", "field_erratum", "recompute@2", "epic", "auto"])
def test_a_reprefill_after_any_edit_in_place_is_one(base: State, method: str) -> None:
    edited = base.edit(FIELD, NEW, method)
    renewed = edited.edit(FIELD, NEW, "full_reprefill")
    assert renewed.cost.tokens == len(base.ids)
    assert difference(renewed.cache, base.edit(FIELD, NEW, "full_reprefill").cache) < 1e-6


def test_a_value_that_stands_is_laid_out_where_the_method_puts_it(base: State) -> None:
    told = base.edit(FIELD, NEW, "erratum")
    assert told.edit(FIELD, NEW, "erratum").cost.tokens == 0
    clean = told.edit(FIELD, NEW, "full_reprefill")
    assert "Erratum" not in clean.text
    assert clean.edit(FIELD, NEW, "full_reprefill").cost.tokens == 0
    hoisted = base.edit(FIELD, OLD, "hoist")
    assert hoisted.cost.prompt_surgery
    assert hoisted.fields[FIELD] == OLD
    assert hoisted.edit(FIELD, OLD, "hoist").cost.tokens == 0


def test_an_erratum_after_a_fresh_cache_stays_fresh_and_after_a_stale_one_does_not(base: State) -> None:
    assert base.edit(FIELD, NEW, "erratum").append("More.\n").fresh
    assert not base.edit("language", "Dutch", "field_only").edit(FIELD, NEW, "erratum").fresh


@pytest.mark.parametrize("fallback", ["nonsense", "auto", "stale", "recompute"])
def test_a_fallback_is_checked_before_it_is_needed(base: State, fallback: str) -> None:
    with pytest.raises(PkvError):
        base.edit("language", "Dutch", "auto", options=OPTIONS, fallback=fallback)
