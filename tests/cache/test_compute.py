"""Prefill, extend and recompute against plain forwards, on every tiny family."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
)

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.blocks import BlockLayer
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.early import early_values
from pkv_interp.errors import PkvError
from tests.families import FAMILIES, ids_of, tiny

LENGTH, FIELD = 90, (20, 23)


def runner(family: str) -> Runner:
    return Runner.of(tiny(family, window=16).model)


def same(a: FrozenCache, b: FrozenCache, atol: float = 1e-5) -> None:
    for x, y in zip((*a.keys, *a.values), (*b.keys, *b.values), strict=True):
        torch.testing.assert_close(x, y, atol=atol, rtol=1e-5)


def copies(cache: FrozenCache) -> list[torch.Tensor]:
    return [t.clone() for t in (*cache.keys, *cache.values)]


def prompts(family: str) -> tuple[list[int], list[int]]:
    loaded = tiny(family, window=16)
    old = ids_of(loaded, LENGTH, 0)
    new = list(old)
    new[FIELD[0] : FIELD[1]] = ids_of(loaded, FIELD[1] - FIELD[0], 1)
    return old, new


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_prefill_is_the_plain_forward(self, family: str):
        old, _ = prompts(family)
        run = runner(family)
        plain = run.model(input_ids=torch.tensor([old])).logits[0, -1]  # type: ignore[operator]
        torch.testing.assert_close(run.prefill(old).logits, plain, atol=1e-5, rtol=1e-5)

    def test_extend_equals_a_prefill_of_everything_and_shares_the_old_columns(self, family: str):
        old, _ = prompts(family)
        run = runner(family)
        base = run.prefill(old[:60]).cache
        before = copies(base)
        grown = run.extend(base, old[60:])
        whole = run.prefill(old)
        same(grown.cache, whole.cache)
        torch.testing.assert_close(grown.logits, whole.logits, atol=1e-5, rtol=1e-5)
        head = grown.cache.slice(0, 60)
        for x, y in zip(before, (*head.keys, *head.values), strict=True):
            assert torch.equal(x, y)
        for x, y in zip(before, copies(base), strict=True):
            assert torch.equal(x, y)

    def test_recompute_of_everything_from_the_change_is_a_prefill(self, family: str):
        old, new = prompts(family)
        run = runner(family)
        base = run.prefill(old).cache
        before = copies(base)
        got = run.recompute(base, range(FIELD[0], LENGTH), new[FIELD[0] :])
        want = run.prefill(new)
        same(got.cache, want.cache)
        torch.testing.assert_close(got.logits, want.logits, atol=1e-5, rtol=1e-5)
        for x, y in zip(before, copies(base), strict=True):
            assert torch.equal(x, y)

    def test_recompute_of_the_field_gives_the_columns_of_a_prefill_and_leaves_the_rest(self, family: str):
        old, new = prompts(family)
        run = runner(family)
        base, donor = run.prefill(old).cache, run.prefill(new).cache
        got = run.recompute(base, range(*FIELD), new[slice(*FIELD)]).cache
        same(got.slice(*FIELD), donor.slice(*FIELD))
        rest = got.slice(FIELD[1], LENGTH)
        for x, y in zip(copies(rest), copies(base.slice(FIELD[1], LENGTH)), strict=True):
            assert torch.equal(x, y)

    def test_recompute_of_scattered_tokens_equals_one_token_at_a_time(self, family: str):
        """Chosen tokens in order, each alone over the columns so far: no mask of ours."""
        old, new = prompts(family)
        run = runner(family)
        chosen = [*range(*FIELD), 31, 47, 48, 80]
        state = run.prefill(old).cache
        got = run.recompute(state, chosen, [new[i] for i in chosen]).cache
        for position in chosen:
            one = run.extend(state.slice(0, position), [new[position]]).cache
            joined = [
                tuple(torch.cat((x, y[:, :, position + 1 :]), 2) for x, y in zip(a, b, strict=True))
                for a, b in ((one.keys, state.keys), (one.values, state.values))
            ]
            state = FrozenCache(joined[0], joined[1])
        same(got, state)


@pytest.mark.parametrize("size", [1, 7, 16, 45])
@pytest.mark.parametrize("family", FAMILIES)
class TestBlocks:
    """Blocks shorter than a window, as long as one, and longer: all are one forward over everything."""

    def test_extend(self, family: str, size: int, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", size)
        old, _ = prompts(family)
        run = runner(family)
        grown, whole = run.extend(run.prefill(old[:30]).cache, old[30:]), run.prefill(old)
        same(grown.cache, whole.cache, atol=1e-4)
        torch.testing.assert_close(grown.logits, whole.logits, atol=1e-4, rtol=0)

    def test_recompute(self, family: str, size: int, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", size)
        old, new = prompts(family)
        run = runner(family)
        got, want = run.recompute(run.prefill(old).cache, range(20, LENGTH), new[20:]), run.prefill(new)
        same(got.cache, want.cache, atol=1e-4)
        torch.testing.assert_close(got.logits, want.logits, atol=1e-4, rtol=0)

    def test_early_values(self, family: str, size: int, monkeypatch: pytest.MonkeyPatch):
        old, _ = prompts(family)
        run = runner(family)
        base, whole = run.prefill(old[:30]).cache, run.prefill(old).cache
        monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", size)
        for layer in range(whole.n_layers):
            found = early_values(run, base, old[30:], layer)
            torch.testing.assert_close(found, whole.values[layer][:, :, 30:], atol=1e-4, rtol=0)

    def test_recompute_of_scattered_tokens(self, family: str, size: int, monkeypatch: pytest.MonkeyPatch):
        old, new = prompts(family)
        run = runner(family)
        base, chosen = run.prefill(old).cache, [*range(20, 23), 31, 47, 48, *range(60, 72), 88]
        whole = run.recompute(base, chosen, [new[i] for i in chosen])  # in one block
        monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", size)
        got = run.recompute(base, chosen, [new[i] for i in chosen])
        same(got.cache, whole.cache, atol=1e-4)
        torch.testing.assert_close(got.logits, whole.logits, atol=1e-4, rtol=0)


def test_a_suffix_costs_no_scores_of_columns_after_a_block(monkeypatch: pytest.MonkeyPatch):
    """The columns that attention is handed, block by block: up to the block's end, and within the window."""
    monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", 20)
    handed: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    update = BlockLayer.update

    def spy(self: BlockLayer, k: torch.Tensor, v: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        out = update(self, k, v, *args, **kwargs)
        handed[self.is_sliding].append((k.shape[2], out[0].shape[2]))
        return out

    monkeypatch.setattr(BlockLayer, "update", spy)
    run, old = runner("gemma3"), prompts("gemma3")[0]
    run.extend(run.prefill(old[:30]).cache, old[30:])
    assert set(handed[False]) == {(20, 50), (20, 70), (20, 90)}
    assert set(handed[True]) == {
        (20, 35)
    }  # 15 columns before the block: the window of 16 with the token itself


class TestOtherModels:
    def test_learned_positions_compute_as_well(self):
        config = GPT2Config(n_layer=2, n_head=2, n_embd=32, vocab_size=120, n_positions=64)
        run = Runner.of(GPT2LMHeadModel(config).eval())
        old = list(range(5, 45))
        new = [*old[:10], 99, *old[11:]]
        got = run.recompute(run.prefill(old).cache, range(10, 40), new[10:])
        same(got.cache, run.prefill(new).cache)

    def test_windows_that_the_config_does_not_list_by_layer_are_refused(self):
        config = GPTNeoConfig(
            vocab_size=50,
            hidden_size=16,
            num_layers=2,
            num_heads=2,
            attention_types=[[["global", "local"], 1]],
        )
        with pytest.raises(PkvError, match="local windows"):
            Runner.of(GPTNeoForCausalLM(config))

    def test_a_recurrent_state_is_only_appended_to(self):
        config = MambaConfig(num_hidden_layers=1, hidden_size=16, vocab_size=50)
        run = Runner.of(MambaForCausalLM(config).eval())
        assert run.appends_only
        with pytest.raises(PkvError, match="has a recurrent state: it runs no token again in place"):
            run.recompute(run.prefill([1, 2, 3]).cache, [1], [5])


class TestLengthsThatChangeTheRotation:
    @pytest.mark.parametrize("kind", ["longrope", "dynamic"])
    def test_columns_of_two_kinds_are_never_mixed(self, kind: str):
        run = Runner.of(scaled(kind))
        ids = list(range(5, 65))
        long = run.prefill(ids).cache
        with pytest.raises(PkvError, match="change past 32 tokens"):
            run.recompute(long, [20], [99])
        with pytest.raises(PkvError, match="change past 32 tokens"):
            run.extend(run.prefill(ids[:20]).cache, ids[20:])
        short = run.prefill(ids[:30]).cache
        new = [*ids[:20], 99, *ids[21:30]]
        same(run.recompute(short, range(20, 30), new[20:]).cache, run.prefill(new).cache)

    @pytest.mark.parametrize("kind", ["longrope", "dynamic"])
    def test_blocks_have_the_frequencies_of_the_whole(self, kind: str, monkeypatch: pytest.MonkeyPatch):
        """The first blocks end before the boundary and the last past it."""
        run = Runner.of(scaled(kind))
        ids = list(range(5, 65))
        whole, cache = run.prefill(ids), run.prefill(ids).cache
        monkeypatch.setattr("pkv_interp.cache.blocks.BLOCK", 8)
        same(run.extend(cache.slice(0, 0), ids).cache, whole.cache)
        same(run.recompute(cache, range(10, 60), ids[10:]).cache, whole.cache)

    def test_past_the_boundary_longrope_settles(self):
        run = Runner.of(scaled("longrope"))
        ids = list(range(5, 75))
        same(run.extend(run.prefill(ids[:50]).cache, ids[50:]).cache, run.prefill(ids).cache)


def scaled(kind: str) -> Any:
    """A Llama whose rotary frequencies change past 32 tokens."""
    parameters: dict[str, Any] = {"rope_type": kind, "rope_theta": 10000.0, "factor": 4.0}
    if kind == "longrope":
        parameters |= {
            "short_factor": [1.0] * 8,
            "long_factor": [3.0] * 8,
            "original_max_position_embeddings": 32,
        }
    config = LlamaConfig(
        vocab_size=120,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=128 if kind == "longrope" else 32,
        rope_parameters=parameters,
    )
    return LlamaForCausalLM(config).eval()


class TestBadInput:
    @pytest.mark.parametrize("positions", [[], [3, 2], [4, 4], [-1], [LENGTH]])
    def test_positions(self, positions: list[int]):
        run = runner("llama")
        base = run.prefill(prompts("llama")[0]).cache
        with pytest.raises(PkvError, match="do not ascend"):
            run.recompute(base, positions, [300] * len(positions))

    def test_ids(self):
        run = runner("llama")
        base = run.prefill(prompts("llama")[0]).cache
        with pytest.raises(PkvError, match="2 ids for 1 positions"):
            run.recompute(base, [4], [300, 301])
        with pytest.raises(PkvError, match="out of range"):
            run.extend(base, [10**9])
        with pytest.raises(PkvError, match="no token to run"):
            run.extend(base, [])
