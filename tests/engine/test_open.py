"""Edited, spliced and foreign caches as bases of traced decisions: plain transformers and the twin agree."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import cache as kept
from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.cache import FrozenCache, Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.editing import METHODS, State
from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Knockout, KVPatch, MLPPatch, ResidualEdit, Row
from pkv_interp.reference.sequential import Sequential
from tests.editing.support import FIELD, NEW, OPTIONS, context_of, difference, windowed
from tests.engine.support import model_of
from tests.families import FAMILIES, ids_of

#: What stands after ``@`` by the kind of amount.
AMOUNTS = {"none": "", "count": "@8", "share": "@0.3"}
SEEN = frozenset({"attention", "queries"})


def plain(model: Any, ids: tuple[int, ...], cache: FrozenCache) -> Any:
    """A forward of transformers itself over the tokens after a cache."""
    places = torch.arange(cache.length, len(ids))[None]
    with torch.no_grad():
        return model(
            torch.tensor([ids[cache.length :]]), past_key_values=cache.view(), position_ids=places,
            output_attentions=model.config._attn_implementation == "eager",
        )  # fmt: skip


@kept
def base_of(family: str) -> State:
    return context_of(windowed(family)).prefill()


@kept
def edited(family: str, method: str) -> State:
    options = {"options": OPTIONS} if method == "auto" else {}
    return base_of(family).edit(FIELD, NEW, method + AMOUNTS[METHODS[method].amount], **options)


def prompt(state: State) -> tuple[int, ...]:
    return (*state.ids, *state.context.renderer.after(state.suffix()))


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(windowed(request.param))


def family_of(engine: Engine) -> str:
    return engine.loaded.config.name.removeprefix("tiny-")


@pytest.mark.parametrize("method", METHODS)
def test_the_traced_decision_is_that_of_the_api_and_of_transformers(engine: Engine, method: str) -> None:
    state = edited(family_of(engine), method)
    ids = prompt(state)
    base = engine.open(ids, state.cache)
    (again,) = engine.decode(base, [()]).logits
    own = plain(engine.loaded.model, ids, state.cache).logits[0, -1]
    for logits in (base.logits, again):
        torch.testing.assert_close(logits, state.logits(), atol=1e-4, rtol=0)
        torch.testing.assert_close(logits, own, atol=1e-4, rtol=0)
    decided = state.decide(OPTIONS)
    assert float(base.logits.argmax()) == float(decided.logits.argmax())
    # The columns are the edited ones, bit for bit, and not those of a prefill of the new text.
    assert all(torch.equal(a[:, :, : state.cache.length], b) for a, b in
               zip(base.cache.values, state.cache.values, strict=True))  # fmt: skip
    if method in ("field_only", "recompute", "field_erratum"):
        assert difference(base.cache, engine.prefill(ids).cache) > 1e-3


def test_interventions_over_an_edited_cache_are_the_twins(engine: Engine) -> None:
    """Knockouts, patches from a donor of equal length, heads and MLPs, and the entry above lower layers."""
    stale, full = (edited(family_of(engine), m) for m in ("field_only", "full_reprefill"))
    ids = prompt(stale)
    base, donor = (engine.open(ids, one.cache, SEEN) for one in (stale, full))
    field, last = tuple(range(*stale.spans[FIELD])), len(ids) - 1
    near = tuple(range(last - 6, last))
    rows: list[Row] = [
        (),
        (Knockout(near),),
        (Knockout(field + near, (1,)),),
        (KVPatch(tuple(range(last)), 0),),
        (KVPatch(near, 0, part="V"), Knockout((last - 2,))),
        (KVPatch(near[:3], 0, (2,), "K"),),
        (HeadPatch(1, 2, 0), MLPPatch(2, 0)),
        (HeadPatch(2, 1, 0),),
        (MLPPatch(2, 0),),
        (ResidualEdit(1, last, torch.linspace(-1, 1, engine.spec.d_model)),),
    ]
    packed = engine.decode(base, rows, (donor,)).logits
    alone = Sequential(engine.loaded).decode(base, rows, (donor,)).logits
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(packed[3], donor.logits, atol=1e-4, rtol=0)
    assert float((packed[1] - packed[0]).abs().max()) > 1e-3
    one_by_one = torch.cat([engine.decode(base, [row], (donor,)).logits for row in rows])
    torch.testing.assert_close(packed, one_by_one, atol=1e-4, rtol=0)


def test_activations_are_those_of_this_cache(engine: Engine) -> None:
    state = edited(family_of(engine), "field_only")
    ids = prompt(state)
    base = engine.open(ids, state.cache, SEEN)
    parts = engine.contributions(base)  # refuses parts that do not sum to the residual
    torch.testing.assert_close(parts.total, base.resid[-1], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(
        engine.final_logits(base.resid[-1], [400, 401]), base.logits[[400, 401]], atol=1e-4, rtol=0
    )
    assert base.need("queries").shape[2] == len(ids) - state.cache.length
    z = _inputs_of_o_proj(engine.loaded.model, ids, state.cache)
    torch.testing.assert_close(base.z.flatten(1), z, atol=1e-5, rtol=1e-5)
    own = engine.prefill(ids)
    assert float((own.z - base.z).abs().max()) > 1e-3
    attn = base.need("attn")
    eager = copy.deepcopy(engine.loaded.model)
    eager.set_attn_implementation("eager")
    weights = plain(eager, ids, state.cache).attentions
    torch.testing.assert_close(attn, torch.stack([w[0, :, -1] for w in weights]), atol=1e-5, rtol=1e-4)


def _inputs_of_o_proj(model: Any, ids: tuple[int, ...], cache: FrozenCache) -> Tensor:
    found: list[Tensor] = []
    handles = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, args: found.append(args[0][0, -1].clone()))
        for layer in model.model.layers
    ]
    try:
        plain(model, ids, cache)
    finally:
        for handle in handles:
            handle.remove()
    return torch.stack(found)


def test_a_spliced_cache_is_opened(engine: Engine) -> None:
    """Two moved chunks, blind to what stands before them, and tokens after them."""
    loaded = engine.loaded
    runner, ids = Runner.of(loaded.model), ids_of(loaded, 60, 7)
    chunks = [precompile(runner, loaded.tokenizer, ids[a:b]) for a, b in ((10, 30), (30, 50))]
    spliced = splice(runner, runner.prefill(ids[:10]).cache, *chunks)
    own = plain(loaded.model, tuple(ids), spliced).logits[0, -1]
    base = engine.open(ids, spliced)
    torch.testing.assert_close(base.logits, own, atol=1e-4, rtol=0)
    torch.testing.assert_close(runner.extend(spliced, ids[50:]).logits, own, atol=1e-4, rtol=0)
    torch.testing.assert_close(engine.decode(base, [()]).logits[0], own, atol=1e-4, rtol=0)
    assert float((engine.prefill(ids).logits - own).abs().max()) > 1e-3


def test_only_tokens_after_the_cache_run_again(engine: Engine) -> None:
    state = edited(family_of(engine), "field_only")
    ids, start = prompt(state), state.cache.length
    base = engine.open(ids, state.cache)
    up = torch.linspace(-1, 1, engine.spec.d_model)
    row = (ResidualEdit(0, start + 1, up), Knockout((start - 3,)))
    twin = Sequential(engine.loaded)
    grown = state.cache.view()
    twin._forward(ids, range(start, len(ids)), grown, row, ())
    prefix = FrozenCache.of(grown).slice(0, len(ids) - 1)
    want = twin._decide(ids, prefix, row, ())
    torch.testing.assert_close(engine.rerun(base, [row]).logits[0], want, atol=1e-4, rtol=0)
    with pytest.raises(PkvError, match=f"position {start - 1} lies in the cache that was opened"):
        engine.rerun(base, [(), (ResidualEdit(0, start - 1, up),)])


def test_a_cache_that_another_model_wrote() -> None:
    """Bare prefill, decision of the changed model, and the other way round; the weights alone may differ."""
    bare = model_of("llama")
    changed = replace(bare, model=copy.deepcopy(bare.model))
    with torch.no_grad():
        for layer in changed.model.model.layers:
            layer.self_attn.q_proj.weight.mul_(1.5)
            layer.self_attn.v_proj.weight.mul_(-1)
    ids = tuple(ids_of(bare, 30, 3))
    logits = {}
    for writer in (bare, changed):
        for reader in (bare, changed):
            cache = Engine(writer).prefill(ids).cache
            base = Engine(reader).open(ids, cache, written_by=writer.model)
            own = plain(reader.model, ids, cache).logits[0, -1]
            torch.testing.assert_close(base.logits, own, atol=1e-4, rtol=0)
            torch.testing.assert_close(Engine(reader).decode(base, [()]).logits[0], own, atol=1e-4, rtol=0)
            logits[writer is bare, reader is bare] = base.logits
    cells = torch.stack(list(logits.values()))
    assert float(torch.pdist(cells).min()) > 1e-2
    torch.testing.assert_close(logits[True, True], Engine(bare).prefill(ids).logits, atol=1e-4, rtol=0)
    other = model_of("qwen3")
    with pytest.raises(PkvError, match="was written by Qwen3ForCausalLM"):
        Engine(bare).open(ids, Engine(bare).prefill(ids).cache, written_by=other.model)
    scaled = replace(bare, model=copy.deepcopy(bare.model))
    scaled.model.config.rms_norm_eps = 0.5
    with pytest.raises(PkvError, match="differs in rms_norm_eps"):
        Engine(bare).open(ids, Engine(scaled).prefill(ids).cache, written_by=scaled.model)


@kept
def opened() -> tuple[Engine, tuple[int, ...], Prefill]:
    engine = Engine(model_of("llama"))
    ids = tuple(ids_of(engine.loaded, 20, 3))
    return engine, ids, engine.open(ids, engine.prefill(ids).cache, SEEN)


def wide(cache: FrozenCache) -> FrozenCache:
    keys, values = (tuple(torch.cat((t, t), 1) for t in side) for side in (cache.keys, cache.values))
    return FrozenCache(keys, values)


def half(cache: FrozenCache) -> FrozenCache:
    return FrozenCache(tuple(t.half() for t in cache.keys), tuple(t.half() for t in cache.values))


REFUSED = {
    "covers the prompt": (lambda e, i, b: e.open(i[:-1], b.cache), "cannot be opened for a prompt of 19"),
    "is empty": (lambda e, i, b: e.open(i, b.cache.slice(0, 0)), "a cache of 0 tokens"),
    "is another thing": (lambda e, i, b: e.open(i, b), "a Prefill is no cache"),
    "has other heads": (lambda e, i, b: e.open(i, wide(b.cache)), "the cache has 3 layers of"),
    "has another dtype": (lambda e, i, b: e.open(i, half(b.cache)), "the cache is torch.float16"),
    "asks for the prefill": (lambda e, i, b: e.open(i, b.cache, {"prefill"}), "not known of a cache"),
    "is shared": (lambda e, i, b: e.prefill(i, shared=b), "came with a cache"),
    "is read as its own": (lambda e, _, b: e.attention_outputs(b, b.cache, 0), "came with a cache"),
    "lacks the stream": (lambda e, _, b: e.written(b, [3]), "came with a cache"),
    "has no such token": (lambda e, i, b: e.open((*i[:-1], 10**6), b.cache), "token id 1000000"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(what: str) -> None:
    call, told = REFUSED[what]
    with pytest.raises(PkvError) as caught:
        call(*opened())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cache_that_was_opened_is_not_changed() -> None:
    engine, ids, base = opened()
    before = [t.clone() for t in (*base.cache.keys, *base.cache.values)]
    again = engine.open(ids, base.cache.slice(0, 12))
    engine.decode(again, [(Knockout((3,)),)])
    assert all(torch.equal(a, b) for a, b in
               zip(before, (*base.cache.keys, *base.cache.values), strict=True))  # fmt: skip
    assert again.given == 12
