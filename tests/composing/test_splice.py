"""Splices and repairs against routes made by hand, on every tiny family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.cache.reposition import reposition
from pkv_interp.composing import (
    Chunk,
    cacheblend_repair,
    join,
    link_repair,
    precompile,
    seam_repair,
    splice,
)
from pkv_interp.composing.repair import deviating_positions
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from tests.families import ids_of
from tests.families import tiny as tiny_of

PREFIX, CHUNK, SUFFIX = 9, 14, 4


def parts(loaded: LoadedModel) -> tuple[list[int], list[int], list[int]]:
    ids = ids_of(loaded, PREFIX + CHUNK + SUFFIX, 3)
    return ids[:PREFIX], ids[PREFIX : PREFIX + CHUNK], ids[PREFIX + CHUNK :]


def equal(one: FrozenCache, two: FrozenCache, atol: float = 0.0) -> None:
    for mine, theirs in zip((*one.keys, *one.values), (*two.keys, *two.values), strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)


def copied(cache: FrozenCache) -> FrozenCache:
    return FrozenCache(tuple(k.clone() for k in cache.keys), tuple(v.clone() for v in cache.values))


def setting(loaded: LoadedModel) -> tuple[Runner, FrozenCache, Chunk, list[int]]:
    runner = Runner.of(loaded.model)
    prefix, chunk, _ = parts(loaded)
    return runner, runner.prefill(prefix).cache, precompile(runner, loaded.tokenizer, chunk), prefix + chunk


@torch.no_grad()
def alone_at(loaded: LoadedModel, ids: list[int], start: int) -> FrozenCache:
    """Tokens with nothing before them, at positions from ``start``: plain transformers."""
    grown = DynamicCache()
    model: Any = loaded.model
    at = torch.arange(start, start + len(ids))[None]
    model(input_ids=torch.tensor([ids]), position_ids=at, past_key_values=grown, use_cache=True)
    return FrozenCache.of(grown)


def test_a_splice_at_its_own_position_is_the_identity(tiny: LoadedModel) -> None:
    runner = Runner.of(tiny.model)
    prefix, chunk, suffix = parts(tiny)
    whole = runner.prefill(prefix + chunk).cache
    made = precompile(runner, tiny.tokenizer, chunk, context=prefix, sink="prefix")
    spliced = splice(runner, whole.slice(0, PREFIX), made)
    equal(spliced, whole)
    assert torch.equal(runner.extend(spliced, suffix).logits, runner.extend(whole, suffix).logits)


def test_a_splice_and_a_suffix_equal_the_sequential_route(tiny: LoadedModel) -> None:
    runner, prefix, chunk, _ = setting(tiny)
    suffix = parts(tiny)[2]
    byhand = alone_at(tiny, list(chunk.ids), PREFIX)
    spliced = splice(runner, prefix, chunk)
    equal(spliced, join([prefix, byhand]), 3e-5)
    got = runner.extend(spliced, suffix)
    stepped = runner.extend(join([prefix, byhand]), suffix[:1])
    for token in suffix[1:]:  # one token at a time
        stepped = runner.extend(stepped.cache, [token])
    torch.testing.assert_close(got.logits, stepped.logits, atol=1e-3, rtol=0)
    blind = runner.prefill([*parts(tiny)[0], *chunk.ids, *suffix])
    assert not torch.allclose(got.logits, blind.logits, atol=1e-2)  # the chunk did not see the prefix


def test_nothing_handed_in_is_changed(tiny: LoadedModel) -> None:
    runner, prefix, chunk, ids = setting(tiny)
    before = [copied(prefix), copied(chunk.cache)]
    spliced = splice(runner, prefix, chunk, chunk)
    ids = ids + list(chunk.ids)
    kept = copied(spliced)
    spans = [(PREFIX, PREFIX + CHUNK), (PREFIX + CHUNK, PREFIX + 2 * CHUNK)]
    link_repair(runner, spliced, spans, ids, 2)
    cacheblend_repair(runner, spliced, spans, ids, 0.3)
    runner.extend(spliced, ids[:2])
    equal(spliced, kept)
    equal(prefix, before[0])
    equal(chunk.cache, before[1])


def test_seam_repair_of_the_whole_chunk_is_the_full_prefill(tiny: LoadedModel) -> None:
    runner, prefix, chunk, ids = setting(tiny)
    spliced = splice(runner, prefix, chunk)
    span = (PREFIX, PREFIX + CHUNK)
    full = runner.prefill(ids)
    for repaired in (
        seam_repair(runner, spliced, span, ids, 100),
        cacheblend_repair(runner, spliced, [span], ids, 1.0),
    ):
        equal(repaired.cache, full.cache, 1e-4)
        torch.testing.assert_close(repaired.logits, full.logits, atol=1e-3, rtol=0)


def test_seam_repair_mends_the_first_tokens_and_leaves_the_rest(tiny: LoadedModel) -> None:
    runner, prefix, chunk, ids = setting(tiny)
    spliced, full = splice(runner, prefix, chunk), runner.prefill(ids).cache
    repaired = seam_repair(runner, spliced, (PREFIX, PREFIX + CHUNK), ids, 3).cache
    equal(repaired.slice(0, PREFIX + 3), full.slice(0, PREFIX + 3), 1e-4)
    equal(repaired.slice(PREFIX + 3, len(ids)), spliced.slice(PREFIX + 3, len(ids)))


def test_link_repair_mends_each_chunk_and_lets_later_ones_see_earlier(tiny: LoadedModel) -> None:
    runner, prefix, chunk, ids = setting(tiny)
    twice, ids = splice(runner, prefix, chunk, chunk), ids + list(chunk.ids)
    spans = [(PREFIX, PREFIX + CHUNK), (PREFIX + CHUNK, PREFIX + 2 * CHUNK)]
    both = link_repair(runner, twice, spans, ids, 2).cache
    one_by_one = seam_repair(runner, twice, spans[0], ids, 2).cache
    one_by_one = seam_repair(runner, one_by_one, spans[1], ids, 2).cache
    equal(both, one_by_one, 1e-4)


def test_deviation_is_read_from_the_first_layers(tiny: LoadedModel) -> None:
    runner, prefix, chunk, ids = setting(tiny)
    spliced, full = splice(runner, prefix, chunk), runner.prefill(ids).cache
    chosen = deviating_positions(runner, spliced, [(PREFIX, PREFIX + CHUNK)], ids, 0.25)
    gap = (full.values[1] - spliced.values[1]).pow(2).sum((0, 1, 3))
    assert chosen == sorted(gap.topk(round(0.25 * CHUNK)).indices.tolist())


def test_a_sink_stands_before_the_chunk_and_is_no_part_of_it() -> None:
    loaded = tiny_of("gemma3")
    runner = Runner.of(loaded.model)
    chunk = parts(loaded)[1]
    bos: Any = loaded.tokenizer.bos_token_id
    made = precompile(runner, loaded.tokenizer, chunk, sink="bos")
    assert (made.start, made.length, made.context) == (1, CHUNK, (bos,))
    equal(made.cache, runner.prefill([bos, *chunk]).cache.slice(1, 1 + CHUNK))
    alone = precompile(runner, loaded.tokenizer, chunk)
    assert (alone.start, alone.context) == (0, ())
    with pytest.raises(PkvError, match="sink 'bos' was given 2 tokens"):
        precompile(runner, loaded.tokenizer, chunk, context=[5, 6], sink="bos")
    with pytest.raises(PkvError, match="sink 'prefix' was given 0 tokens"):
        precompile(runner, loaded.tokenizer, chunk, sink="prefix")
    told = precompile(runner, loaded.tokenizer, chunk, context="Some words", sink="prefix")
    assert told.context == tuple(loaded.tokenizer("Some words", add_special_tokens=False)["input_ids"])
    with pytest.raises(PkvError, match="a Computed is no prefix"):
        splice(runner, runner.prefill(chunk), told)  # type: ignore[arg-type]
    with pytest.raises(PkvError, match="a Chunk cannot be repositioned"):
        reposition(loaded.model, told, 5)  # type: ignore[arg-type]
    with pytest.raises(PkvError, match="without a token"):
        precompile(runner, loaded.tokenizer, "")


def test_text_is_tokenised_without_special_tokens() -> None:
    loaded = tiny_of("llama")
    made = precompile(Runner.of(loaded.model), loaded.tokenizer, "Answer with one word")
    assert list(made.ids) == loaded.tokenizer("Answer with one word", add_special_tokens=False)["input_ids"]


def test_a_windowed_layer_keeps_every_token_and_the_mask_hides_them() -> None:
    loaded = tiny_of("gemma3", window=8)
    runner, prefix, chunk, ids = setting(loaded)
    spliced = splice(runner, prefix, chunk)
    assert spliced.length == len(ids) > 8
    suffix = parts(loaded)[2]
    poisoned = copied(spliced)
    for layer, window in enumerate(runner.windows):
        if isinstance(window, int):  # out of every suffix token's sight
            poisoned.keys[layer][:, :, : len(ids) - window] = 50.0
            poisoned.values[layer][:, :, : len(ids) - window] = 50.0
    torch.testing.assert_close(
        runner.extend(spliced, suffix).logits, runner.extend(poisoned, suffix).logits, atol=1e-5, rtol=0
    )


def test_chunks_of_another_model_dtype_or_length_are_refused() -> None:
    loaded = tiny_of("llama")
    runner, prefix, chunk, _ = setting(loaded)
    other = Runner.of(tiny_of("llama", seed=1).model)
    with pytest.raises(PkvError, match="chunk 1 was made by another model"):
        splice(other, prefix, chunk)
    with pytest.raises(PkvError, match="14 tokens and 13 columns"):
        splice(runner, prefix, replace(chunk, cache=chunk.cache.slice(0, CHUNK - 1)))
    half = FrozenCache(tuple(k.bfloat16() for k in prefix.keys), tuple(v.bfloat16() for v in prefix.values))
    with pytest.raises(PkvError, match="2 forms"):
        splice(runner, half, chunk)
    with pytest.raises(PkvError, match="serves 4096"):
        splice(runner, join([runner.prefill([5] * 10).cache] * 409), chunk)


def test_a_weight_written_in_place_makes_another_model() -> None:
    from pkv_interp.composing.identity import identity_of
    from pkv_interp.models.tiny import tiny_model

    model, _ = tiny_model("llama")
    before = identity_of(model)
    assert identity_of(tiny_of("llama").model) == before
    weight: Tensor = next(model.parameters())
    weight.add_(1.0)
    assert identity_of(model) != before


def test_bad_repairs_are_refused() -> None:
    loaded = tiny_of("llama")
    runner, prefix, chunk, ids = setting(loaded)
    spliced = splice(runner, prefix, chunk)
    with pytest.raises(PkvError, match="k is 0"):
        seam_repair(runner, spliced, (PREFIX, PREFIX + CHUNK), ids, 0)
    with pytest.raises(PkvError, match="ids for a cache"):
        seam_repair(runner, spliced, (PREFIX, PREFIX + CHUNK), ids[1:], 1)
    with pytest.raises(PkvError, match="one after another"):
        link_repair(runner, spliced, [(PREFIX, 99)], ids, 1)
    with pytest.raises(PkvError, match="share 0"):
        cacheblend_repair(runner, spliced, [(PREFIX, PREFIX + CHUNK)], ids, 0.0)
