"""Drawn architectures, rotations, windows, tokenizers, prompts and edits, against their definitions.

``make fuzz`` draws thousands (``PKV_FUZZ`` is the number); otherwise the same draws are made each time.
"""

from __future__ import annotations

import os
from functools import cache
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.cache import Runner, reposition
from pkv_interp.cache.early import early_values
from pkv_interp.cache.forward import fresh_rotation
from pkv_interp.composing import precompile, seam_repair, splice
from pkv_interp.editing import METHODS, EditableContext, State, field, user
from pkv_interp.editing.registry import Change, find
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import KVPatch
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.reference.sequential import Sequential
from tests.families import FAMILIES, SLIDING_FAMILIES, tiny_loaded
from tests.hostile import one_token_at_a_time as slow
from tests.hostile.definitions import is_defined
from tests.hostile.models_of_positions import ROPES, close, plain, roped, words

DRAWS = int(os.environ.get("PKV_FUZZ", "0"))


def fuzz(draws: int) -> settings:
    """So many draws, the same each time; or ``PKV_FUZZ`` new ones."""
    return settings(
        max_examples=DRAWS or draws,
        derandomize=not DRAWS,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


BOUNDARY = 48
TYPES = ("llama", "gemma3_text", "smollm3", "glm", "olmo2", "cohere", "stablelm", "qwen3_moe", "phi3")
#: Types whose rotation takes a scaled rope type.
SCALED = ("llama", "gemma3_text", "smollm3", "qwen3_moe")
#: Values of one and of two tokens.
VALUES = (("pending", "shipped", "approve", "cancel"), ("shipped late", "pending again", "cargo again"))
LONG = "shipped late on Tuesday"
FILLER = ("The", "lamp", "of", "the", "archive", "is", "on", "second", "floor", "and", "not", "known")


@cache
def tokenizer_of(style: str) -> PreTrainedTokenizerBase:
    return tiny_tokenizer(style)


def model_of(pick: Random) -> PreTrainedModel:
    """A tiny model; each is made once in a session. A third of them have a boundary."""
    group = pick.choice(("families", "boundary", "others"))
    if group == "families":
        family = pick.choice(FAMILIES)
        window = pick.choice((8, 16, 64)) if family in SLIDING_FAMILIES else None
        return tiny_loaded(family, window=window).model
    if group == "boundary":
        return roped(pick.choice(("dynamic", "longrope")), pick.choice(SCALED), BOUNDARY)
    model_type = pick.choice(TYPES)
    kinds = ("default", "partial") if model_type == "phi3" else ROPES
    kind = pick.choice(kinds) if model_type in SCALED else "default"
    return roped("default" if kind == "partial" and "gemma" in model_type else kind, model_type, BOUNDARY)


def crossing(run: Runner, *lengths: int) -> bool:
    """Whether contexts of these lengths have rotary frequencies of their own."""
    return len({run.positions.regime(n) for n in lengths}) > 1


def refused(run: Runner, error: PkvError) -> bool:
    """Whether a refusal is for lengths between which the rotary frequencies change."""
    return run.positions.boundary is not None and str(run.positions.boundary.length) in error.cause


#: A seed draws the rest: uniformly, as Hypothesis itself mostly draws the first of a list.
SEEDS = st.integers(0, 2**32 - 1)


@fuzz(60)
@given(SEEDS)
def test_caches(number: int) -> None:
    """extend == prefill, recompute == prefill, scattered recompute == one token at a time, early values."""
    pick = Random(number)
    model, length, seed = model_of(pick), pick.randint(2, 80), pick.randrange(2**16)
    cut, width = pick.randrange(1, length), pick.randint(1, 6)
    run, ids = Runner.of(model), words(length, seed)
    run.prefill(words(pick.choice((1, 60, 90)), seed))  # what it leaves must not matter
    new = [*ids[:cut], *words(length - cut, seed + 1)]
    field_ends = min(length, cut + width)
    edited = [*ids[:cut], *new[cut:field_ends], *ids[field_ends:]]
    with fresh_rotation(model):
        whole, logits = plain(model, ids)
        after, after_logits = plain(model, edited)
    base = run.prefill(ids)
    close(base.cache, whole)
    torch.testing.assert_close(base.logits, logits, atol=1e-4, rtol=0)
    # A cache of the whole prompt, cut: what follows is the prompt's.
    grown = run.extend(base.cache.slice(0, cut), ids[cut:])
    close(grown.cache, whole)
    torch.testing.assert_close(grown.logits, logits, atol=1e-4, rtol=0)
    layer = pick.randrange(whole.n_layers)
    early = early_values(run, base.cache.slice(0, cut), ids[cut:], layer)
    torch.testing.assert_close(early, whole.values[layer][:, :, cut:], atol=1e-4, rtol=0)
    # A shorter prompt's own cache: the same, or refused where the frequencies differ.
    if crossing(run, cut, length):
        with pytest.raises(PkvError, match="frequencies"):
            run.extend(run.prefill(ids[:cut]).cache, ids[cut:])
    else:
        close(run.extend(run.prefill(ids[:cut]).cache, ids[cut:]).cache, whole)
    rest = run.recompute(base.cache, range(cut, length), edited[cut:])
    close(rest.cache, after)
    torch.testing.assert_close(rest.logits, after_logits, atol=1e-4, rtol=0)
    chosen = sorted({cut, *(pick.randrange(cut, length) for _ in range(pick.randint(0, 6)))})
    if crossing(run, chosen[-1] + 1, length):
        with pytest.raises(PkvError, match="frequencies"):
            run.recompute(base.cache, chosen, [edited[i] for i in chosen])
    else:
        got = run.recompute(base.cache, chosen, [edited[i] for i in chosen]).cache
        with fresh_rotation(model):
            close(got, slow.rerun(model, whole, chosen, edited, length))


@fuzz(50)
@given(SEEDS)
def test_moved_chunks(number: int) -> None:
    """reposition == keys of the model at that place, splice + repair of all == prefill."""
    pick = Random(number)
    model, seed = model_of(pick), pick.randrange(2**16)
    before, length, delta = pick.randint(1, 60), pick.randint(1, 60), pick.randint(0, 60)
    run, prefix, ids = Runner.of(model), words(before, seed), words(length, seed + 1)
    chunk = precompile(run, tokenizer_of("llama"), ids)
    whole = before + length
    if crossing(run, length, length + delta):
        with pytest.raises(PkvError):
            reposition(model, chunk.cache, delta)
    else:
        try:
            moved = reposition(model, chunk.cache, delta)
        except PkvError as error:  # dynamic NTK: no keys past its boundary are moved
            assert refused(run, error)  # noqa: PT017
        else:
            with fresh_rotation(model):
                close(moved, plain(model, ids, start=delta)[0])
    head = run.prefill(prefix).cache
    if crossing(run, before, length, whole):
        with pytest.raises(PkvError):
            splice(run, head, chunk)
        return
    spliced = splice(run, head, chunk)
    repaired = seam_repair(run, spliced, (before, whole), [*prefix, *ids], length)
    with fresh_rotation(model):
        want = plain(model, [*prefix, *ids])
    close(repaired.cache, want[0])
    torch.testing.assert_close(repaired.logits, want[1], atol=1e-4, rtol=0)


@fuzz(20)
@given(SEEDS)
def test_decode(number: int) -> None:
    """A packed decode == one forward over the patched cache == the slow twin, windows and all."""
    pick = Random(number)
    family, window = pick.choice(FAMILIES), pick.choice((8, 24))
    length, seed = pick.randint(2, 50), pick.randrange(2**16)
    loaded = tiny_loaded(family, window=window if family in SLIDING_FAMILIES else None)
    engine, ids = Engine(loaded), words(length, seed)
    start = pick.randrange(length - 1)
    stop = pick.randint(start + 1, length - 1)
    other = [*ids[:start], *words(length - start, seed + 1)[:-1], ids[-1]][:length]
    base, donor = engine.prefill(ids), engine.prefill(other)
    rows = [(), (KVPatch(tuple(range(start, stop)), 0),), (KVPatch((start,), 0, (1,), "V"),)]
    got = engine.decode(base, rows, (donor,)).logits
    torch.testing.assert_close(got, Sequential(loaded).decode(base, rows, (donor,)).logits, atol=1e-4, rtol=0)
    patched = slow.pasted(base.cache, range(start, stop), donor.cache)
    for row, cached in ((0, base.cache), (1, patched)):
        want = plain(loaded.model, ids[-1:], length - 1, cached)[1]
        torch.testing.assert_close(got[row], want, atol=1e-4, rtol=0)


def written(pick: Random, name: str) -> str:
    """A method as a user writes it, with a drawn amount."""
    method = METHODS[name]
    if method.amount == "none" or (not method.required and pick.random() < 0.5):
        return name
    return f"{name}@{pick.choice(('0', '0.25', '1') if method.amount == 'share' else ('0', '1', '3', '6'))}"


def context_of(pick: Random) -> EditableContext:
    """A prompt with two fields anywhere in it."""
    gaps = [" ".join(pick.choices(FILLER, k=pick.randint(0, n))) for n in (8, 8, 20)]
    parts: list[Any] = [f"{gaps[0]}\norder status: ", field("order status", pick.choice(pick.choice(VALUES)))]
    parts += [f"\n{gaps[1]}\nlanguage: ", field("language", pick.choice(pick.choice(VALUES)))]
    if pick.random() < 0.8:
        parts.append(f"\n\n{gaps[2]}")
    tokenizer = tokenizer_of(pick.choice(("llama", "qwen3", "gemma3", "phi3")))
    return EditableContext(model_of(pick), tokenizer, [user(*parts)], "What now?", chat=pick.random() < 0.5)


def value(pick: Random, state: State, name: str, method: str) -> str:
    """Another value; of the same length, mostly, where the method asks for it."""
    longer = METHODS[method].any_length and pick.random() < 0.5
    alike = next((group for group in VALUES if state.fields[name] in group), VALUES[0])
    return LONG if longer else pick.choice([v for v in alike if v != state.fields[name]])


@pytest.mark.parametrize("method", sorted(METHODS))
@fuzz(7)
@given(SEEDS)
def test_editing_methods(method: str, number: int) -> None:
    """Every method == its definition by a re-encode, on a fresh state and on what another edit left."""
    pick = Random(f"{method} {number}")
    context = context_of(pick)
    run, state = context.runner, context.prefill()
    earlier = [] if pick.random() < 0.5 else [pick.choice(sorted(METHODS))]
    for used in (*earlier, method):
        name, asked = pick.choice(("order status", "language")), written(pick, used)
        new = value(pick, state, name, used)
        try:
            after = state.edit(name, new, asked)
        except PkvError as error:
            assert _may_be_refused(run, error), error  # noqa: PT017
            return
        with fresh_rotation(run.model):
            is_defined(state, after, Change(name, new, asked, find(asked, {})[1]))
        try:
            logits = after.logits()
        except PkvError as error:
            assert refused(run, error)  # noqa: PT017
            return
        suffix = context.renderer.after(after.suffix())
        with fresh_rotation(run.model):
            want = plain(run.model, suffix, after.cache.length, after.cache)[1]
        torch.testing.assert_close(logits, want, atol=1e-4, rtol=0)
        state = after


def _may_be_refused(run: Runner, error: PkvError) -> bool:
    told = ("needs another number of tokens", "was moved to the end", "stands after it", "asks for")
    return refused(run, error) or any(words_ in error.cause for words_ in told)
