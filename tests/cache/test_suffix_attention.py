"""Attention after a cached prefix without a mask equals attention with one, and is used where it can be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from pkv_interp.cache import Runner
from pkv_interp.cache import suffix_attention as room
from pkv_interp.cache.suffix_attention import causal_attention, suffix_attention, unmasked
from tests.families import FAMILIES, SLIDING_FAMILIES, ids_of, tiny


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "places",
    [range(5, 12), range(0, 9), [11], [0], [0, 3, 4, 9], range(1, 900, 3), [*range(7), *range(400, 420)]],
)
@pytest.mark.parametrize("scaling", [None, 0.3])
def test_it_is_attention_with_a_mask(places: Any, scaling: float | None) -> None:
    at = torch.tensor(list(places))
    n, columns = len(at), int(at[-1]) + 1
    query, key, value = drawn(1, 4, n, 16), drawn(1, 2, columns, 16, seed=1), drawn(1, 2, columns, 16, seed=2)
    seen = torch.arange(columns)[None] <= at[:, None]
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scaling, enable_gqa=True)
    found = causal_attention(query, key, value, at, scaling)
    assert (found - wanted).abs().max() < 1e-5
    assert wanted.std() > 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_models_whose_layers_see_all_columns_through_sdpa_take_it(family: str) -> None:
    model = tiny(family).model
    with unmasked(model, Runner.of(model).windows) as keywords:
        assert bool(keywords(torch.arange(3, 6))) is (family not in SLIDING_FAMILIES)


@pytest.mark.parametrize("family", ["llama", "qwen3", "phi3"])
def test_runs_over_a_cache_are_those_with_masks(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny(family)
    runner, ids = Runner.of(loaded.model), ids_of(loaded, 60, 1)
    cache = runner.prefill(ids).cache
    changed = {at: 300 + at for at in range(7, 50, 3)}
    calls = []
    real = room.causal_attention
    monkeypatch.setattr(room, "causal_attention", lambda *args: calls.append(1) or real(*args))
    ours = (
        runner.extend(cache.slice(0, 20), ids[20:]),
        runner.recompute(cache, list(changed), list(changed.values())),
    )
    assert len(calls) == 2 * cache.n_layers
    monkeypatch.setattr(room, "without_masks", lambda _: False)
    masked = (
        runner.extend(cache.slice(0, 20), ids[20:]),
        runner.recompute(cache, list(changed), list(changed.values())),
    )
    assert len(calls) == 2 * cache.n_layers
    for mine, theirs in zip(ours, masked, strict=True):
        assert (mine.logits - theirs.logits).abs().max() < 1e-4
        for name in ("keys", "values"):
            pairs = zip(getattr(mine.cache, name), getattr(theirs.cache, name), strict=True)
            assert max(float((a - b).abs().max()) for a, b in pairs) < 1e-4
    assert (ours[1].logits - ours[0].logits).abs().max() > 1e-2


def test_a_model_that_reads_its_mask_itself_is_left_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama", seed=5).model
    forward = model.model.forward

    def reads(*args: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        return forward(*args, attention_mask=None if attention_mask is None else attention_mask * 0, **kwargs)

    def shrinks(*args: Any, attention_mask: Any = None, **kwargs: Any) -> Any:
        wide = None if attention_mask is None else torch.zeros(1, 1, 3, 6)
        return forward(*args, attention_mask=wide, **kwargs)

    monkeypatch.setattr(model.model, "forward", shrinks)
    assert room._try(model) is False
    monkeypatch.setattr(model.model, "forward", reads)  # NaN stays NaN: nothing is taken for a mask
    assert room._try(model) is True


def test_the_attention_of_a_model_is_its_own_again() -> None:
    model = tiny("llama").model
    before = model.config._attn_implementation
    with suffix_attention(model):
        assert model.config._attn_implementation != before
    assert model.config._attn_implementation == before
