"""What each method must equal, in every tiny family, sliding windows included, and in GPT-2."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.editing import EditableContext, State
from pkv_interp.models.load import LoadedModel
from tests.editing.support import (
    FIELD,
    LONG,
    NEW,
    QUESTION,
    columns,
    context_of,
    copy_of,
    difference,
    gpt2,
    logit_difference,
    messages,
    windowed,
)
from tests.families import FAMILIES

EXACT = 1e-5


@pytest.fixture(scope="module", params=[*FAMILIES, "gpt2"])
def base(request: pytest.FixtureRequest) -> State:
    if request.param == "gpt2":
        model, tokenizer = gpt2()
        return EditableContext(model, tokenizer, messages(), QUESTION).prefill()
    return context_of(windowed(request.param)).prefill()


@pytest.fixture(scope="module")
def oracle(base: State) -> State:
    """The same prompt written with the new value from the start, by a context of its own."""
    context = base.context
    made = EditableContext(context.runner.model, context.renderer.tokenizer, messages(value=NEW), QUESTION)
    return made.prefill()


@pytest.mark.parametrize(
    "method",
    [
        "full_reprefill",
        "suffix_recompute",
        "recompute@all",
        "oracle_patch@all",
        "cacheblend@1.0",
    ],
)
def test_these_are_a_prefill_of_the_new_text(base: State, oracle: State, method: str) -> None:
    edited = base.edit(FIELD, NEW, method)
    assert edited.ids == oracle.ids
    assert edited.text == oracle.text
    assert difference(edited.cache, oracle.cache) < EXACT
    assert logit_difference(edited, oracle) < EXACT
    assert difference(base.cache, oracle.cache) > 1e-2


def test_field_only_has_the_oracles_columns_at_the_field_and_stale_ones_after(
    base: State, oracle: State
) -> None:
    edited = base.edit(FIELD, NEW, "field_only")
    start, stop = edited.spans[FIELD]
    own, rest = range(start, stop), [i for i in range(len(base.ids)) if not start <= i < stop]
    assert (columns(edited.cache, own) - columns(oracle.cache, own)).abs().max() < EXACT
    assert (columns(edited.cache, own) - columns(base.cache, own)).abs().max() > 1e-2
    assert torch.equal(columns(edited.cache, rest), columns(base.cache, rest))
    assert edited.ids == oracle.ids
    assert logit_difference(edited, oracle) > EXACT


@pytest.mark.parametrize("method", ["recompute@0", "oracle_patch@0", "cacheblend@0", "epic@0"])
def test_nothing_chosen_is_field_only(base: State, method: str) -> None:
    alone = base.edit(FIELD, NEW, "field_only")
    assert difference(base.edit(FIELD, NEW, method).cache, alone.cache) < EXACT


def test_an_erratum_is_a_prefill_of_the_old_text_with_the_line_after_it(base: State) -> None:
    edited = base.edit(FIELD, NEW, "erratum")
    n = len(base.ids)
    assert edited.ids[:n] == base.ids
    assert torch.equal(columns(edited.cache, range(n)), columns(base.cache, range(n)))
    plain = base.context.runner.prefill(edited.ids).cache
    assert difference(edited.cache, plain) < EXACT


def test_field_erratum_is_the_patched_old_cache_and_no_clean_prefill(base: State, oracle: State) -> None:
    edited = base.edit(FIELD, NEW, "field_erratum")
    alone = base.edit(FIELD, NEW, "field_only")
    n = len(base.ids)
    assert torch.equal(columns(edited.cache, range(n)), columns(alone.cache, range(n)))
    line = edited.ids[n:]
    assert difference(edited.cache, base.context.runner.extend(alone.cache, line).cache) < EXACT
    clean = base.context.runner.prefill(oracle.ids + line).cache
    assert difference(edited.cache, clean) > 1e-2


def test_an_erratum_on_a_patched_cache_leaves_every_column_as_it_was(base: State) -> None:
    alone = base.edit(FIELD, NEW, "field_only")
    kept = copy_of(alone.cache)
    noted = alone.edit(FIELD, LONG, "erratum")
    assert torch.equal(columns(noted.cache, range(alone.cache.length)), kept)
    assert torch.equal(copy_of(alone.cache), kept)


def test_recompute_reads_fresh_columns_of_its_own_and_stale_ones_of_the_rest(
    base: State, oracle: State
) -> None:
    edited = base.edit(FIELD, NEW, "recompute@6")
    n, field = len(base.ids), base.spans[FIELD]
    middle = range(field[1], n - 6)
    assert torch.equal(columns(edited.cache, middle), columns(base.cache, middle))
    tail = range(n - 6, n)
    moved = float((columns(edited.cache, tail) - columns(base.cache, tail)).abs().max())
    # Where every layer slides, the last six see the field only through a stale middle.
    sees = any(not isinstance(w, int) or n - 6 - w < field[0] for w in base.context.runner.windows)
    assert (moved > 1e-5) == sees  # sums over fewer columns round differently
    # An independent route: the last six after the patched cache of the rest.
    alone = base.edit(FIELD, NEW, "field_only").cache
    other = base.context.runner.extend(alone.slice(0, n - 6), oracle.ids[n - 6 :]).cache
    assert difference(edited.cache, other) < EXACT


def test_oracle_patch_pastes_the_ranked_columns(base: State, oracle: State) -> None:
    first = base.spans[FIELD][1]
    ranking = [first + 9, first + 2, first + 4]
    edited = base.edit(FIELD, NEW, "oracle_patch@2", ranking=ranking)
    pasted = [*range(*base.spans[FIELD]), first + 2, first + 9]
    rest = [i for i in range(len(base.ids)) if i not in pasted]
    assert (columns(edited.cache, pasted) - columns(oracle.cache, pasted)).abs().max() < EXACT
    assert torch.equal(columns(edited.cache, rest), columns(base.cache, rest))


def test_cacheblend_takes_the_tokens_whose_early_values_moved_most(base: State, oracle: State) -> None:
    n, start = len(base.ids), base.spans[FIELD][1]
    edited = base.edit(FIELD, NEW, "cacheblend@0.25")
    # Values at layer 1 of a full prefill are what the early run must see.
    moved = (oracle.cache.values[1] - base.cache.values[1])[0].square().sum((0, 2))[start:]
    best = set((moved.topk(round(0.25 * (n - start))).indices + start).tolist())
    ranking = [*best, *(i for i in range(start, n) if i not in best)]
    expected = base.edit(FIELD, NEW, f"recompute@{len(best)}", ranking=ranking)
    assert difference(edited.cache, expected.cache) < EXACT
    assert edited.cost.tokens == expected.cost.tokens
    assert edited.cost.share > expected.cost.share


@pytest.mark.parametrize("method", ["full_reprefill", "suffix_recompute"])
def test_a_longer_value_is_a_prefill_of_the_longer_text(base: State, method: str) -> None:
    context = base.context
    longer = EditableContext(
        context.runner.model, context.renderer.tokenizer, messages(value=LONG), QUESTION
    ).prefill()
    assert len(longer.ids) > len(base.ids)
    edited = base.edit(FIELD, LONG, method)
    assert edited.ids == longer.ids
    assert difference(edited.cache, longer.cache) < EXACT
    back = edited.edit(FIELD, "pending", method)
    assert back.ids == base.ids
    assert difference(back.cache, base.cache) < EXACT


def test_hoist_is_a_prefill_of_its_own_text_and_edits_run_the_tail_only(base: State) -> None:
    first = base.edit(FIELD, NEW, "hoist")
    second = first.edit(FIELD, LONG, "hoist")
    for state, value in ((first, NEW), (second, LONG)):
        assert state.text.endswith(f"Order status: {value}\n")
        assert f"{FIELD}: see the end" in state.text
        assert state.text.count(value) == messages()[1].text.count(value) + 1
        assert difference(state.cache, base.context.runner.prefill(state.ids).cache) < EXACT
        assert state.cost.prompt_surgery
    assert first.cost.setup_tokens + first.cost.tokens == len(first.ids)
    assert second.cost.setup_tokens == 0
    assert second.cost.tokens == len(second.ids) - first.cost.setup_tokens
    again = base.edit(FIELD, LONG, "hoist")
    assert again.cost.setup_tokens == 0
    assert torch.equal(copy_of(again.cache), copy_of(second.cache))


def test_the_base_is_never_written(tiny: LoadedModel) -> None:
    base = context_of(tiny).prefill()
    kept, ids, length = copy_of(base.cache), base.ids, base.cache.length
    for method in (
        "stale",
        "field_only",
        "erratum",
        "field_erratum",
        "hoist",
        "full_reprefill",
        "suffix_recompute",
        "recompute@4",
        "oracle_patch@4",
        "cacheblend@0.2",
        "epic",
        "auto",
    ):
        edited = base.edit(FIELD, NEW, method)
        edited.append("Next.\n").edit("language", "Dutch", "erratum")
        before = copy_of(edited.cache)
        edited.decide(("cancel", "deny"))
        edited.generate(3)
        assert torch.equal(copy_of(edited.cache), before), method
        assert edited.cache.length == len(edited.ids), method
    assert base.cache.length == length
    assert base.ids == ids
    assert torch.equal(copy_of(base.cache), kept)


@pytest.mark.parametrize("k", [0, 5])
def test_the_field_and_the_last_tokens_are_a_recompute_of_them(base: State, k: int) -> None:
    moved = base.edit(FIELD, NEW, f"suffix_recompute@{k}")
    assert difference(moved.cache, base.edit(FIELD, NEW, f"recompute@{k}").cache) < EXACT
    assert moved.cost.tokens == k + 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_longer_value_moves_the_middle_along(family: str) -> None:
    base = context_of(windowed(family)).prefill()
    runner, (start, stop) = base.context.runner, base.spans[FIELD]
    exact = base.edit(FIELD, LONG, "suffix_recompute")
    everything = base.edit(FIELD, LONG, "suffix_recompute@all")
    assert difference(everything.cache, exact.cache) < EXACT
    edited = base.edit(FIELD, LONG, "suffix_recompute@5")
    n, m, longer = len(base.ids), len(edited.ids), edited.spans[FIELD][1]
    assert edited.ids == exact.ids
    assert edited.cost.tokens == longer - start + 5
    own = range(longer)
    assert (columns(edited.cache, own) - columns(exact.cache, own)).abs().max() < EXACT
    for mine, old in zip(edited.cache.values, base.cache.values, strict=True):
        assert torch.equal(mine[:, :, longer : m - 5], old[:, :, stop : n - 5])
    # Layer 0 keys depend on token and position alone: turned, they are those of the new prefill.
    middle = slice(longer, m - 5)
    assert (edited.cache.keys[0][:, :, middle] - exact.cache.keys[0][:, :, middle]).abs().max() < 1e-4
    tail = runner.extend(edited.cache.slice(0, m - 5), exact.ids[m - 5 :]).cache
    assert difference(edited.cache, tail) < EXACT
    shorter = edited.edit(FIELD, NEW, "suffix_recompute@5")
    assert len(shorter.ids) == n
    for back, old in zip(shorter.cache.keys, base.cache.keys, strict=True):
        assert (back[:, :, stop : n - 5] - old[:, :, stop : n - 5]).abs().max() < 1e-4
