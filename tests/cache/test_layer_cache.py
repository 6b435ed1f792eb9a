"""The description of a layer's cache: by config and as forwards show it; and kinds that it is for."""

from __future__ import annotations

import importlib
import random
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache import FrozenCache, Runner, reposition
from pkv_interp.cache.layer_cache import cache_form
from pkv_interp.cache.measured import Held
from pkv_interp.cache.rotation import Turned, rotations_of, turn
from pkv_interp.cache.window import Chunks, Window, first_seen, unseen
from pkv_interp.errors import PkvError
from pkv_interp.models.architectures import tiny_architecture
from pkv_interp.reference.plain import one_by_one, reencode
from tests.hostile.architectures import built, loaded_of

#: By architecture, what each of its two layers is called.
LAYERS = {
    "llama": ("full, rotary", "full, rotary"),
    "gemma3": ("sliding 16, rotary", "full, rotary"),
    "smollm3": ("full, rotary", "full, none"),
    "llama4": ("chunked 16, rotary", "full, none"),
    "deepseek-v3": ("full, latent, rotary", "full, latent, rotary"),
    "gpt2": ("full, learned", "full, learned"),
    "bloom": ("full, alibi", "full, alibi"),
    "qwen3-next": ("state", "appended"),
    "falcon-h1": ("state", "state"),
}


@cache
def model_of(name: str) -> PreTrainedModel:
    return tiny_architecture(name)


def ids_of(n: int, seed: int = 0) -> list[int]:
    return torch.randint(300, 1800, (n,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_is_described(name: str) -> None:
    form = cache_form(model_of(name))
    assert tuple(str(layer) for layer in form.layers) == LAYERS[name]
    assert (form.edits is not None) == (name in ("bloom", "qwen3-next", "falcon-h1"))
    assert (form.moves is not None) == (name in ("gpt2", "bloom", "qwen3-next", "falcon-h1"))


def test_what_turns_of_each_is_found() -> None:
    """Of a latent the second tensor turns, by other pairs in two generations; of GLM-4 half of a head."""
    found = {name: cache_form(model_of(name)).layers[0] for name in ("deepseek-v2", "deepseek-v3", "glm4")}
    latent = Held((1, 16), (1, 4), latent=True)
    assert found["deepseek-v2"].held == found["deepseek-v3"].held == latent
    assert found["deepseek-v2"].turned == Turned("interleaved", "values")
    assert found["deepseek-v3"].turned == Turned("half", "values")
    assert found["glm4"].turned == Turned("interleaved", "keys")
    assert [found[name].frequencies for name in found] == [2, 2, 2]


def test_the_last_coordinates_of_expanded_keys_are_turned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys of a cache that holds what MLA expands to: as older versions keep them, and models with code."""
    model = built("glm4", partial_rotary_factor=0.5)
    room = importlib.import_module("transformers.models.glm4.modeling_glm4")

    def last_half(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *_: Any) -> Any:
        r = cos.shape[-1] // 2
        made = []
        for one in (q, k):
            turned = [turn(row, cos[0, :, :r], sin[0, :, :r], "half", 8) for row in one]
            made.append(torch.stack(turned))
        return tuple(made)

    monkeypatch.setattr(room, "apply_rotary_pos_emb", last_half)
    assert set(rotations_of(model).turned) == {Turned("half", "keys", 8)}
    ids = ids_of(12)
    runner = Runner.of(model)
    moved = reposition(model, runner.prefill(ids).cache, 40)
    far = reencode(runner, ids, 40).cache
    assert far is not None
    torch.testing.assert_close(moved.keys, far.keys, atol=1e-4, rtol=0)


def test_a_chunk_size_that_is_stated_and_not_used_is_none() -> None:
    assert Runner.of(built("llama", attention_chunk_size=4)).windows == (None,) * 4


def test_chunks_are_moved_by_whole_chunks_alone() -> None:
    runner, ids = Runner.of(model_of("llama4")), ids_of(20)
    cache_ = runner.prefill(ids).cache
    for delta in (16, 48):
        moved = reposition(runner.model, cache_, delta)
        before = ids_of(delta, seed=1)
        whole = reencode(runner, [*before, *ids], blind=(delta, delta + 20)).cache
        assert whole is not None
        part = whole.slice(delta, delta + 20)
        for mine, theirs in zip((*moved.keys, *moved.values), (*part.keys, *part.values), strict=True):
            torch.testing.assert_close(mine, theirs, atol=1e-4, rtol=0)
    for delta in (1, 15, 17):
        with pytest.raises(PkvError, match=f"sees chunks of 16 tokens: moving by {delta} puts another of 20"):
            reposition(runner.model, cache_, delta)
    # Inside one chunk nothing is cut anew.
    assert reposition(runner.model, runner.prefill(ids[:4]).cache, 3).length == 4


def scaled() -> PreTrainedModel:
    """Llama 4 whose full layer scales its queries anew every eight tokens."""
    special = {
        "attention_chunk_size": 16,
        "intermediate_size_mlp": 32,
        "num_local_experts": 2,
        "moe_layers": [],
    }
    return built("llama4_text", **special, no_rope_layers=[1, 0, 1, 0], floor_scale=8, attn_scale=1.0)


def test_queries_scaled_by_their_place_are_not_moved_to_another_scale() -> None:
    model, ids = scaled(), ids_of(5)
    kept = Runner.of(model).prefill(ids).cache
    assert reposition(model, kept, 2).length == 5  # positions 0 to 6 count as 1 to 7
    with pytest.raises(PkvError, match="scales its queries by position past each multiple of 8 tokens"):
        reposition(model, kept, 3)


def test_tokens_with_gaps_are_scaled_as_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama 4 counts the columns before a forward: tokens after a gap would be taken for earlier ones."""
    runner, ids = Runner.of(scaled()), ids_of(30)
    old = runner.prefill(ids_of(30, seed=1)).cache
    places = [2, 3, 12, 25, 26, 29]
    chosen = [ids[at] for at in places]
    texts = [ids[at] if at in places else 300 for at in range(30)]

    def apart() -> float:
        made, twin = runner.recompute(old, places, chosen).cache, one_by_one(runner, old, places, texts)
        pairs = zip((*made.keys, *made.values), (*twin.keys, *twin.values), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)

    assert apart() < 1e-4
    monkeypatch.setattr("pkv_interp.cache.compute.scales_by_count", lambda _: False)
    assert apart() > 1e-2


@pytest.mark.parametrize("window", [None, 1, 5, Chunks(1), Chunks(4), Chunks(100)])
def test_what_a_window_hides_pair_by_pair(window: Window) -> None:
    at = sorted(random.Random(0).sample(range(30), 12))
    hidden = unseen(torch.tensor(at), torch.arange(30), window)
    for row, query in enumerate(at):
        seen = set(range(query + 1))
        if isinstance(window, Chunks):
            seen = {c for c in seen if c // window.size == query // window.size}
        elif window is not None:
            seen = {c for c in seen if query - c < window}
        assert {c for c in range(30) if not hidden[row, c]} == seen
        assert first_seen(query, window) == min(seen)


def test_the_engine_says_at_load_what_it_does_not_trace() -> None:
    words = {
        "mamba2": "has a recurrent state, and the engine patches keys and values",
        "deepseek-v2": "compresses its keys and values .multi-head latent attention, MLA.",
        "llama4": "has no module 'mlp'",
        "gpt2": "has no module 'model.embed_tokens'",
    }
    for name, told in words.items():
        with pytest.raises(PkvError, match=told) as caught:
            loaded_of(model_of(name))
        assert len(str(caught.value)) < 300


def test_columns_of_other_widths_are_not_mixed() -> None:
    one, other = (Runner.of(model_of(name)).prefill(ids_of(6)).cache for name in ("deepseek-v2", "llama"))
    with pytest.raises(PkvError, match="use a donor prompt of equal length on the same model"):
        one.replace([1], other)
    with pytest.raises(PkvError, match="cache tensors have shapes"):
        FrozenCache(one.keys, tuple(value[:, :, 1:] for value in one.values))
    assert replace(one, layout=None).form == one.form != other.form
