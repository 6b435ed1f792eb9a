"""Greedy continuation of frozen caches: what the model itself would write, and nothing written back."""

import pytest
import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.engine.generate import continue_greedily, extend
from pkv_interp.errors import PkvError
from pkv_interp.models.ending import end_tokens
from pkv_interp.models.load import LoadedModel
from tests.families import SLIDING_FAMILIES, ids_of
from tests.families import tiny as tiny_of


def by_prefill(engine: Engine, ids: list[int], n: int) -> list[int]:
    new: list[int] = []
    for _ in range(n):
        new.append(int(engine.prefill([*ids, *new]).logits.argmax()))
    return new


def test_each_row_is_continued_as_if_it_were_alone(tiny: LoadedModel) -> None:
    engine = Engine(tiny)
    first = ids_of(tiny, 30, 1)
    second = [*ids_of(tiny, 29, 2), first[-1]]
    prefills = [engine.prefill(ids) for ids in (first, second)]
    before = [torch.stack([k.clone() for k in p.cache.keys]) for p in prefills]
    found = continue_greedily(tiny, first[-1], [p.cache for p in prefills], 6)
    for ids, one in zip((first, second), found, strict=True):
        expected = by_prefill(engine, ids, 6)
        # Otherwise this test would compare less than it says.
        assert not set(expected) & end_tokens(tiny.model, tiny.tokenizer)
        assert list(one.ids) == expected
        assert not one.stopped
        whole = engine.prefill([*ids, *expected, expected[0]]).cache
        assert one.cache.length == len(ids) + 6
        for mine, theirs in zip(one.cache.keys, whole.keys, strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=1e-4)
    for old, prefill in zip(before, prefills, strict=True):
        assert torch.equal(old, torch.stack(list(prefill.cache.keys)))


def test_windows_are_kept_in_long_continuations() -> None:
    loaded = tiny_of(SLIDING_FAMILIES[0], window=16)
    engine = Engine(loaded)
    ids = ids_of(loaded, 40, 3)
    (found,) = continue_greedily(loaded, ids[-1], [engine.prefill(ids).cache], 5)
    assert list(found.ids) == by_prefill(engine, ids, 5)


def test_the_end_token_stops_a_row_and_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_of("llama")
    engine = Engine(loaded)
    rows = [[*ids_of(loaded, 19, seed), 400] for seed in (1, 2)]
    caches = [engine.prefill(ids).cache for ids in rows]
    free = continue_greedily(loaded, 400, caches, 6)
    end = free[0].ids[2]
    assert end not in free[0].ids[:2]
    assert end not in free[1].ids
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", end)
    short, long = continue_greedily(loaded, 400, caches, 6)
    assert (short.ids, short.stopped) == (free[0].ids[:2], True)
    assert (long.ids, long.stopped) == (free[1].ids, False)
    assert short.cache.length == 20 + 2
    torch.testing.assert_close(short.cache.keys[0], free[0].cache.keys[0][:, :, :22])


def test_extending_a_cache_is_the_prefill_of_the_whole(tiny: LoadedModel) -> None:
    engine = Engine(tiny)
    ids = ids_of(tiny, 24, 5)
    whole = engine.prefill(ids)
    grown = extend(tiny, ids, whole.cache.slice(0, 17))
    torch.testing.assert_close(grown.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert grown.cache.length == 23
    decoded = engine.decode(grown, [()])
    torch.testing.assert_close(decoded.logits[0], whole.logits, atol=1e-4, rtol=1e-4)
    assert torch.isnan(grown.z).all()  # not captured, and it says so


def test_caches_of_different_lengths_and_covered_prompts_are_refused() -> None:
    loaded = tiny_of("llama")
    cache: FrozenCache = Engine(loaded).prefill(ids_of(loaded, 12, 0)).cache
    with pytest.raises(PkvError, match="2 caches of 2 lengths"):
        continue_greedily(loaded, 400, [cache, cache.slice(0, 5)], 3)
    with pytest.raises(PkvError, match="limit of at least 1"):
        continue_greedily(loaded, 400, [cache], 0)
    with pytest.raises(PkvError, match="leaves none of 11 to run"):
        extend(loaded, [400] * 11, cache)
