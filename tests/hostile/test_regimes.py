"""Rotary frequencies that follow the length of the context: right, or refused, wherever lengths meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pkv_interp.cache import FrozenCache, Runner, reposition
from pkv_interp.cache.early import early_values, most_moved
from pkv_interp.cache.regime import Regime
from pkv_interp.composing import ChunkLibrary, join, precompile, splice
from pkv_interp.composing.repair import cacheblend_repair
from pkv_interp.editing.generation import generate
from pkv_interp.engine import Engine
from pkv_interp.engine.generate import continue_greedily
from pkv_interp.engine.generate import extend as extend_prompt
from pkv_interp.errors import PkvError
from pkv_interp.interventions import KVPatch, ResidualEdit
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.reference.sequential import Sequential
from tests.hostile.models_of_positions import BOUNDARY, close, fresh, plain, roped, ropes, words

CHANGE = f"change past {BOUNDARY} tokens"
KINDS = ["dynamic", "longrope"]
TYPES = ["llama", "gemma3_text", "smollm3"]


def loaded(kind: str) -> LoadedModel:
    config = load_catalogue_entry("tiny-llama", device="cpu")
    return assemble(Opened(fresh(kind), tiny_tokenizer("llama")), config, place(config))


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_gives_the_same_after_longer_and_shorter_ones(kind: str, model_type: str) -> None:
    """S5: 200, 300, 200, 100, 99 tokens and one at a time before it."""
    run = Runner.of(fresh(kind, model_type))
    first, _, again = (run.prefill(words(length)) for length in (200, 300, 200))
    assert torch.equal(first.logits, again.logits)
    for length in (200, BOUNDARY, BOUNDARY - 1, BOUNDARY + 1, 40):
        want = plain(fresh(kind, model_type), words(length))
        got = run.prefill(words(length))
        torch.testing.assert_close(got.logits, want[1], atol=1e-5, rtol=0)
        close(got.cache, want[0], 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_left_as_one_that_saw_no_prompt(kind: str) -> None:
    """S5: what a user runs on the object next is not what our long prompt left."""
    model = fresh(kind)
    Runner.of(model).prefill(words(300))
    torch.testing.assert_close(plain(model, words(200))[1], plain(fresh(kind), words(200))[1])


@pytest.mark.parametrize("kind", KINDS)
class TestTheEngine:
    def test_prefill_decode_and_rerun(self, kind: str) -> None:
        """S5: both routes, a donor, a shared prefix, and a longer prompt in between."""
        mine = loaded(kind)
        engine, twin = Engine(mine), Sequential(mine)
        ids, other = words(150), [*words(149, 1), words(150)[-1]]
        base = engine.prefill(ids, capture={"prefill"})
        engine.prefill(words(300))
        donor = engine.prefill([*ids[:60], *other[60:]], capture={"prefill"}, shared=base)
        want = plain(fresh(kind), ids)
        torch.testing.assert_close(base.logits, want[1], atol=1e-5, rtol=0)
        whole = plain(fresh(kind), [*ids[:60], *other[60:]])
        close(donor.cache, whole[0].slice(0, 149))
        torch.testing.assert_close(donor.logits, whole[1], atol=1e-4, rtol=0)
        rows = [(), (KVPatch(tuple(range(149)), 0),), (KVPatch((5, 6), 0, (1,), "V"),)]
        packed = engine.decode(base, rows, (donor,)).logits
        torch.testing.assert_close(packed, twin.decode(base, rows, (donor,)).logits, atol=1e-4, rtol=0)
        torch.testing.assert_close(packed[0], want[1], atol=1e-4, rtol=0)
        torch.testing.assert_close(packed[1], whole[1], atol=1e-4, rtol=0)
        edit = [(ResidualEdit(0, 7, torch.ones(64), "add"),)]
        slow = Sequential(loaded(kind)).rerun(base, edit).logits
        torch.testing.assert_close(engine.rerun(base, edit).logits, slow, atol=1e-4, rtol=0)

    def test_a_prompt_over_the_cache_of_another_length_is_refused(self, kind: str) -> None:
        mine = loaded(kind)
        short = Runner.of(mine.model).prefill(words(60)).cache
        with pytest.raises(PkvError, match=CHANGE):
            extend_prompt(mine, words(150), short)
        with pytest.raises(PkvError, match=CHANGE):
            extend_prompt(mine, words(80), Runner.of(mine.model).prefill(words(150)).cache.slice(0, 60))
        grown = extend_prompt(mine, words(90), short)
        torch.testing.assert_close(grown.logits, plain(fresh(kind), words(90))[1], atol=1e-4, rtol=0)

    def test_a_cache_is_opened_at_its_own_length_only(self, kind: str) -> None:
        mine = loaded(kind)
        engine, run = Engine(mine), Runner.of(mine.model)
        for cache, length in ((run.prefill(words(60)).cache, 150), (run.prefill(words(150)).cache, 80)):
            with pytest.raises(PkvError, match=CHANGE):
                engine.open(words(length), cache.slice(0, 60))
        base = engine.open(words(150), run.prefill(words(150)).cache.slice(0, 149))
        want = plain(fresh(kind), words(150))[1]
        torch.testing.assert_close(base.logits, want, atol=1e-4, rtol=0)
        torch.testing.assert_close(engine.decode(base, [()]).logits[0], want, atol=1e-4, rtol=0)

    def test_a_continuation_stays_on_its_side(self, kind: str) -> None:
        """S5: transformers itself would go on with other frequencies than the cache's."""
        mine = loaded(kind)
        cache = Runner.of(mine.model).prefill(words(80)).cache
        with pytest.raises(PkvError, match=CHANGE):
            continue_greedily(mine, 20, [cache], 30)
        done = continue_greedily(mine, 20, [cache, cache], 8)[1]
        want = plain(fresh(kind), [*words(80), 20, *done.ids])[0]
        close(done.cache, want)


def _longer(run: Runner) -> FrozenCache:
    return run.prefill(words(150)).cache


CROSSINGS: dict[str, Callable[[Runner, FrozenCache, FrozenCache], object]] = {
    "extend": lambda run, short, _: run.extend(short, words(60)),
    "extend a slice of a long one": lambda run, _, long: run.extend(long.slice(0, 40), words(20)),
    "early values": lambda run, short, _: early_values(run, short, words(60), 1),
    "early values of a slice": lambda run, _, long: early_values(run, long.slice(0, 40), words(20), 1),
    "most moved": lambda run, _, long: most_moved(run, long, 20, words(20), range(20, 40), 3),
    "recompute the first tokens": lambda run, _, long: run.recompute(long, [20], [99]),
    "recompute a slice": lambda run, _, long: run.recompute(long.slice(0, 60), [20], [99]),
    "join": lambda _, short, long: join([short, long]),
    "replace": lambda _, short, long: long.slice(0, 60).replace([3], short),
    "repair": lambda run, _, long: cacheblend_repair(run, long.slice(0, 90), [(9, 80)], words(90), 0.2),
    "reposition a slice": lambda run, _, long: reposition(run.model, long.slice(0, 40), 5),
    "reposition past": lambda run, short, _: reposition(run.model, short, 90),
}


@pytest.mark.parametrize("crossing", CROSSINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_columns_of_two_lengths_are_never_mixed(kind: str, crossing: str) -> None:
    """S5: one line that names the boundary and a way out."""
    run = Runner.of(roped(kind))
    short, long = run.prefill(words(60)).cache, run.prefill(words(150)).cache
    with pytest.raises(PkvError) as caught:
        CROSSINGS[crossing](run, short, long)
    assert str(BOUNDARY) in caught.value.cause
    assert len(str(caught.value)) < 300


def test_a_slice_of_a_long_prompt_goes_on_as_the_prompt() -> None:
    """S5: right where it can be: over the first 40 columns of a long prompt runs the rest of it."""
    for kind in KINDS:
        run = Runner.of(roped(kind))
        whole = run.prefill(words(150))
        again = run.extend(whole.cache.slice(0, 40), words(150)[40:])
        close(again.cache, whole.cache)
        torch.testing.assert_close(again.logits, whole.logits, atol=1e-4, rtol=0)
        values = early_values(run, whole.cache.slice(0, 40), words(150)[40:], 2)
        torch.testing.assert_close(values, whole.cache.values[2][:, :, 40:], atol=1e-4, rtol=0)


def test_a_splice_over_the_boundary_is_refused() -> None:
    """S6: a prefix of 60 and a chunk of 150 over a boundary of 100 had a KL of 0.21 to a full prefill."""
    for kind in KINDS:
        run, tokenizer = Runner.of(roped(kind)), tiny_tokenizer("llama")
        short, long = (precompile(run, tokenizer, words(n, 1)) for n in (30, 150))
        prefix = run.prefill(words(60)).cache
        with pytest.raises(PkvError, match=CHANGE):
            splice(run, prefix, long)
        with pytest.raises(PkvError, match=CHANGE):
            splice(run, prefix, short, short)  # the first chunk ends before the boundary
        with pytest.raises(PkvError, match=CHANGE):
            splice(run, prefix, short, target_length=150)
        spliced = splice(run, prefix, short)
        assert spliced.regime == Regime(BOUNDARY, 0)


def test_a_splice_past_the_boundary_turns_by_the_long_factors() -> None:
    """S6: both made past it; the chunk's first keys are those of the model at that place."""
    run, tokenizer = Runner.of(roped("longrope")), tiny_tokenizer("llama")
    chunk = precompile(run, tokenizer, words(120, 1))
    spliced = splice(run, run.prefill(words(110)).cache, chunk)
    want = plain(roped("longrope"), words(120, 1), start=110)[0]
    close(spliced.slice(110, 230), want)
    whole = [*words(110), *words(120, 1)]
    close(run.recompute(spliced, range(110, 230), whole[110:]).cache, run.prefill(whole).cache)


def test_generation_over_the_boundary_is_refused_and_before_it_right() -> None:
    """S5: token by token, transformers mixes the frequencies of both sides in one cache."""
    tokenizer = tiny_tokenizer("llama")
    for kind in KINDS:
        run = Runner.of(roped(kind))
        empty = run.prefill(words(5)).cache.slice(0, 0)
        for cache, ids in ((run.prefill(words(80)).cache, [20]), (empty, words(80))):
            with pytest.raises(PkvError, match=CHANGE):
                generate(run, tokenizer, cache, ids, 40)
            made = generate(run, tokenizer, cache, ids, 6)
            text = [*words(80), 20] if cache.length else words(80)
            for token in made.ids:
                assert token == int(plain(fresh(kind), text)[1].argmax())
                text.append(token)


def test_past_the_boundary_longrope_goes_on_and_dynamic_does_not() -> None:
    """S5: every length of dynamic NTK has frequencies of its own."""
    tokenizer = tiny_tokenizer("llama")
    run = Runner.of(roped("longrope"))
    made = generate(run, tokenizer, run.prefill(words(120)).cache, [20], 4)
    text = [*words(120), 20]
    for token in made.ids:
        assert token == int(plain(roped("longrope"), text)[1].argmax())
        text.append(token)
    run = Runner.of(roped("dynamic"))
    with pytest.raises(PkvError, match=CHANGE):
        generate(run, tokenizer, run.prefill(words(120)).cache, [20], 4)


def test_chunks_on_disk_keep_their_regime(tmp_path: Path) -> None:
    """S6: a chunk that is read is refused where the one that was written is."""
    run, tokenizer = Runner.of(fresh("longrope")), tiny_tokenizer("llama")
    library = ChunkLibrary(tmp_path)
    made = library.fetch(run, tokenizer, words(120))
    read = library.fetch(run, tokenizer, words(120))
    assert read.cache.regime == made.cache.regime == Regime(BOUNDARY, BOUNDARY + 1)
    with pytest.raises(PkvError, match=CHANGE):
        splice(run, run.prefill(words(30, 2)).cache, read)


def test_models_whose_frequencies_follow_no_length_have_no_regime() -> None:
    """S5: YaRN, llama3 and the like serve one set; nothing is refused there."""
    for kind in ("default", "linear", "llama3", "yarn", "proportional", "partial"):
        run = Runner.of(roped(kind))
        first = run.prefill(words(60)).cache
        assert first.regime is None
        got = run.extend(first, words(150)[60:])
        torch.testing.assert_close(got.logits, plain(roped(kind), words(150))[1], atol=1e-4, rtol=0)


def test_scales_that_change_with_the_frequencies_move_up_to_the_boundary_alone() -> None:
    """S6: Phi-MoE keeps its first frequencies past the boundary and changes the size of its keys there."""
    kind: dict[str, Any] = {"short_mscale": 1.1, "long_mscale": 1.3}
    rope = {"rope_theta": 1e4, **ropes()["longrope"], **kind}
    special = {"rope_parameters": rope, "num_local_experts": 4, "num_experts_per_tok": 2}
    model = fresh("longrope", "phimoe", **special)
    run = Runner.of(model)
    for length in (150, 60):
        other = fresh("longrope", "phimoe", **special)
        torch.testing.assert_close(run.prefill(words(length)).logits, plain(other, words(length))[1])
    moved = reposition(model, run.prefill(words(40)).cache, 30)
    close(moved, plain(model, words(40), start=30)[0])
    with pytest.raises(PkvError, match=f"serves {BOUNDARY}"):
        reposition(model, run.prefill(words(150)).cache, 5)


def test_frequencies_that_change_at_two_lengths_are_refused() -> None:
    """S5: one kind of layer by longrope, the other by dynamic NTK at another length."""
    model = fresh("longrope", "gemma3_text")
    decoder: Any = model.get_decoder()
    decoder.rotary_emb.rope_type["sliding_attention"] = "dynamic"
    with pytest.raises(PkvError, match="at several lengths"):
        Runner.of(model)
