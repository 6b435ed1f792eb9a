"""Prefill, extend, recompute and early values under an attention layout, against one plain masked forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import AttentionLayout, FrozenCache
from pkv_interp.cache.attention_layout import joined
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.early import early_values
from pkv_interp.errors import PkvError
from tests.families import FAMILIES, ids_of, tiny

LENGTH, WINDOW = 60, 16
#: Two fields, a link after each rule, a blind chunk with a field of its own, and a last block.
LAYOUT = AttentionLayout(50, isolated=((4, 6), (12, 13), (32, 34)), links=((20, 22),), blind=((28, 40),))


def sees(layout: AttentionLayout, query: int, column: int) -> bool:
    """The definition, spelled out for one pair of positions."""
    if column > query:
        return False
    if query >= layout.end:
        return True

    def span_of(at: int, spans: tuple[tuple[int, int], ...]) -> tuple[int, int] | None:
        return next((span for span in spans if span[0] <= at < span[1]), None)

    chunk = span_of(query, layout.blind)
    if chunk is not None and span_of(column, layout.blind) != chunk:
        return False
    for kind in (layout.isolated, layout.links):
        private = span_of(column, kind)
        if private is not None:
            return span_of(query, kind) == private or span_of(query, layout.links) is not None
    return True


def plain(run: Runner, ids: list[int], layout: AttentionLayout) -> tuple[torch.Tensor, FrozenCache]:
    """One forward of the model over all tokens, with the whole mask written out."""
    masks: dict[str, torch.Tensor] = {}
    for kind, window in zip(run.types, run.windows, strict=True):
        mask = torch.full((len(ids), len(ids)), torch.finfo(torch.float32).min)
        for query in range(len(ids)):
            for column in range(query + 1):
                if sees(layout, query, column) and (not isinstance(window, int) or query - column < window):
                    mask[query, column] = 0.0
        masks[kind] = mask[None, None]
    model: Any = run.model
    grown = DynamicCache()
    out = model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.arange(len(ids))[None],
        attention_mask=masks if len(masks) > 1 else next(iter(masks.values())),
        past_key_values=grown,
        use_cache=True,
    )
    return out.logits[0, -1], FrozenCache.of(grown)


def same(a: FrozenCache, b: FrozenCache, atol: float = 1e-5) -> None:
    for x, y in zip((*a.keys, *a.values), (*b.keys, *b.values), strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=1e-4)


def far(a: FrozenCache, b: FrozenCache) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a.values, b.values, strict=True))


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_prefill_is_the_masked_forward(self, family: str):
        loaded = tiny(family, window=WINDOW)
        run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
        got = run.prefill(ids, LAYOUT)
        logits, cache = plain(run, ids, LAYOUT)
        torch.testing.assert_close(got.logits, logits, atol=1e-4, rtol=1e-4)
        same(got.cache, cache)
        assert far(got.cache, run.prefill(ids).cache) > 1e-3  # the layout changes something

    def test_extend_goes_on_under_the_layout(self, family: str):
        loaded = tiny(family, window=WINDOW)
        run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
        whole = run.prefill(ids, LAYOUT)
        for cut in (1, 5, 21, 33, 45, 55):
            grown = run.extend(run.prefill(ids[:cut], LAYOUT).cache, ids[cut:])
            same(grown.cache, whole.cache)
            torch.testing.assert_close(grown.logits, whole.logits, atol=1e-4, rtol=1e-4)
            sliced = run.extend(whole.cache.slice(0, cut), ids[cut:])
            same(sliced.cache, whole.cache)

    def test_a_new_value_changes_its_own_columns_and_the_links_alone(self, family: str):
        loaded = tiny(family, window=WINDOW)
        run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
        new = list(ids)
        new[4:6] = ids_of(loaded, 2, 1)
        old_cache, new_cache = run.prefill(ids, LAYOUT).cache, run.prefill(new, LAYOUT).cache
        changed = {
            at
            for x, y in zip(old_cache.values, new_cache.values, strict=True)
            for at in torch.nonzero((x - y).abs().amax((0, 1, 3)) > 1e-4).flatten().tolist()
            if at < LAYOUT.end
        }
        assert changed == {4, 5, 20, 21}
        places = [4, 5, *LAYOUT.read_by([4, 5])]
        edited = run.recompute(old_cache.slice(0, LAYOUT.end), places, [new[at] for at in places]).cache
        same(edited, new_cache.slice(0, LAYOUT.end))

    def test_early_values_are_those_of_the_prefill(self, family: str):
        loaded = tiny(family, window=WINDOW)
        run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
        whole = run.prefill(ids, LAYOUT).cache
        got = early_values(run, whole.slice(0, 8), ids[8:], 1)
        torch.testing.assert_close(got, whole.values[1][:, :, 8:], atol=1e-5, rtol=1e-4)


def test_a_layout_without_spans_is_a_plain_prefill():
    loaded = tiny("llama")
    run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
    assert AttentionLayout(50).first_restricted == 50
    same(run.prefill(ids, AttentionLayout(50)).cache, run.prefill(ids).cache)


def test_hidden_is_the_definition_at_every_pair():
    at = torch.arange(LENGTH)
    hidden = LAYOUT.hidden(at, at)
    for query in range(LENGTH):
        for column in range(query + 1):
            assert bool(hidden[query, column]) != sees(LAYOUT, query, column), (query, column)


def test_a_slice_from_the_middle_counts_its_own_columns():
    moved = LAYOUT.moved(-12)
    assert moved == AttentionLayout(38, ((0, 1), (20, 22)), ((8, 10),), ((16, 28),))
    assert LAYOUT.moved(-33).isolated == ((0, 1),)


def test_layouts_side_by_side():
    first, second = AttentionLayout(5, isolated=((1, 2),)), AttentionLayout(4, blind=((0, 4),))
    assert joined([(5, first), (3, None), (4, second)], 12) == AttentionLayout(12, ((1, 2),), (), ((8, 12),))
    assert joined([(5, None), (3, None)], 8) is None
    # The spans of a prefix that has not reached them are of the text that stands there now.
    assert joined([(1, first), (2, None)], 3) == AttentionLayout(5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"end": 10, "isolated": ((4, 4),)}, "do not follow one another"),
        ({"end": 10, "isolated": ((4, 6), (5, 7))}, "do not follow one another"),
        ({"end": 10, "isolated": ((4, 6),), "links": ((5, 7),)}, "do not follow one another"),
        ({"end": 5, "isolated": ((4, 6),)}, "last block"),
        ({"end": 10, "isolated": ((4, 6),), "blind": ((5, 9),)}, "lies across the end of a blind one"),
        ({"end": -1}, "give 0 or more"),
    ],
)
def test_spans_that_make_no_sense_are_refused(arguments: dict[str, Any], words: str):
    with pytest.raises(PkvError, match=words):
        AttentionLayout(**arguments)


def test_caches_of_two_layouts_are_not_mixed():
    loaded = tiny("llama")
    run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
    with pytest.raises(PkvError, match="different attention layouts"):
        run.prefill(ids).cache.replace([3], run.prefill(ids, LAYOUT).cache)


def test_an_attention_without_explicit_masks_is_refused():
    loaded = tiny("llama")
    run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
    kept = loaded.model.config._attn_implementation
    loaded.model.config._attn_implementation = "flash_attention_2"
    try:
        with pytest.raises(PkvError, match="takes no explicit mask"):
            run.prefill(ids, LAYOUT)
    finally:
        loaded.model.config._attn_implementation = kept


def test_the_engine_opens_a_cache_whose_last_block_alone_is_missing():
    from pkv_interp.engine import Engine

    loaded = tiny("llama")
    run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, 0)
    whole = run.prefill(ids, LAYOUT)
    opened = Engine(loaded).open(ids, whole.cache.slice(0, LAYOUT.end))
    torch.testing.assert_close(opened.logits, whole.logits, atol=1e-4, rtol=1e-4)
    with pytest.raises(PkvError, match="the last block of its attention layout begins at 50"):
        Engine(loaded).open(ids, whole.cache.slice(0, 40))
