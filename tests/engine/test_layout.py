"""Prompts run under an attention layout: packed rows against a twin that is told of every closed pair."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.engine import Engine, Prefill, engine_of
from pkv_interp.engine.generate import continue_greedily, extend
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, Knockout, Row
from pkv_interp.reference.sequential import Sequential
from tests.engine.support import EVERYTHING, LENGTH, decision_rows, model_of, prefill_rows
from tests.families import FAMILIES, ids_of

LAYOUT = AttentionLayout(34, isolated=((4, 6), (14, 16)), links=((10, 12),), blind=((18, 28),))


def closings() -> Row:
    """The layout as knockouts: which columns each token before the last block may not see."""
    at = torch.arange(LENGTH)
    hidden = LAYOUT.hidden(at, at) & (at[None] <= at[:, None])
    found = ((query, hidden[query].nonzero().flatten().tolist()) for query in range(LENGTH))
    return tuple(Knockout(tuple(columns), queries=(query,)) for query, columns in found if columns)


def bare(one: Prefill) -> Prefill:
    return replace(one, cache=replace(one.cache, layout=None))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_prefill_and_its_rows_agree_with_the_twin(family: str) -> None:
    loaded = model_of(family)
    engine, twin = Engine(loaded), Sequential(loaded)
    ids = ids_of(loaded, LENGTH, seed=1)
    other = [*ids_of(loaded, LENGTH, seed=2, base=ids, start=2)[:-1], ids[-1]]
    base, donor = (engine.prefill(one, EVERYTHING, layout=LAYOUT) for one in (ids, other))
    torch.testing.assert_close(
        base.logits, Runner.of(loaded.model).prefill(ids, LAYOUT).logits, atol=1e-4, rtol=0
    )
    rows = [*decision_rows(loaded.spec.d_model)[:9], *prefill_rows(loaded.spec.d_model)[:9]]
    rows = [row for row in rows if not any(getattr(edit, "donor", 0) > 0 for edit in row)]
    assert len(rows) > 6
    packed = engine.rerun(base, rows, [donor])
    plain = bare(base)
    told = [(*row, *closings()) for row in rows]
    alone = twin.rerun(plain, told, [bare(donor)])
    torch.testing.assert_close(packed.logits, alone.logits, atol=1e-4, rtol=0)
    free = engine.rerun(engine.prefill(ids, EVERYTHING), rows, [engine.prefill(other, EVERYTHING)])
    assert float((free.logits - packed.logits).abs().max()) > 1e-3


def test_a_shared_prefix_is_taken_from_a_prompt_of_the_same_layout_alone() -> None:
    loaded = model_of("qwen3")
    engine, ids = Engine(loaded), ids_of(loaded, LENGTH, seed=1)
    other = ids_of(loaded, LENGTH, seed=2, base=ids, start=22)
    alone = engine.prefill(other, EVERYTHING, layout=LAYOUT)
    for layout in (LAYOUT, None):
        shared = engine.prefill(ids, EVERYTHING, layout=layout)
        found = engine.prefill(other, EVERYTHING, shared, LAYOUT)
        torch.testing.assert_close(found.logits, alone.logits, atol=1e-5, rtol=0)
        torch.testing.assert_close(found.need("z_all"), alone.need("z_all"), atol=1e-5, rtol=0)


def test_what_does_not_heed_a_layout_refuses_it() -> None:
    loaded = model_of("llama")
    engine, ids = Engine(loaded), ids_of(loaded, LENGTH, seed=1)
    base, plain = engine.prefill(ids, EVERYTHING, layout=LAYOUT), engine.prefill(ids, EVERYTHING)
    with pytest.raises(PkvError, match="different attention layouts"):
        engine.decode(base, [()], [plain])
    with pytest.raises(PkvError, match="run under an attention layout"):
        Sequential(loaded).rerun(base, [(HeadPatch(1, 2, 0, 12),)], [base])
    asked = engine.prefill(ids, {"queries"}, layout=LAYOUT)
    with pytest.raises(PkvError, match="run under an attention layout"):
        engine.attention_outputs(asked, asked.cache, 1)
    plainly = engine.prefill(ids, {"queries"})
    with pytest.raises(PkvError, match="run under an attention layout"):
        engine.attention_outputs(plainly, asked.cache, 1)
    with pytest.raises(PkvError, match="before the last block"):
        engine.prefill(ids, layout=AttentionLayout(LENGTH))


def test_a_prompt_that_goes_on_over_a_cache_keeps_its_layout() -> None:
    loaded = model_of("llama")
    run, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, seed=1)
    whole = run.prefill(ids[: LAYOUT.end + 2], LAYOUT).cache
    gone_on = extend(loaded, ids, whole)
    assert gone_on.cache.layout == LAYOUT
    with pytest.raises(PkvError, match="lies in the cache that was opened"):
        Engine(loaded).rerun(gone_on, [(HeadPatch(1, 2, 0, 6),)], [gone_on])
    (said,) = continue_greedily(loaded, ids[LAYOUT.end + 2], [whole], 3)
    assert said.cache.layout == LAYOUT


def test_a_narrow_prefill_and_a_dry_run_of_a_server_heed_a_layout() -> None:
    loaded = model_of("llama")
    engine, ids = Engine(loaded), ids_of(loaded, LENGTH, seed=1)
    wide, plain = engine.prefill(ids, layout=LAYOUT), engine.prefill(ids)
    far = float((wide.cache.values[1] - plain.cache.values[1]).abs().max())
    engine.prefill_in(torch.bfloat16)
    narrow = engine.prefill(ids, layout=LAYOUT)
    assert narrow.cache.layout == LAYOUT
    assert float((narrow.cache.values[1] - wide.cache.values[1]).abs().max()) < far / 4
    there = engine_of(loaded, remote="local")
    sent = there.prefill(ids, layout=LAYOUT)
    assert sent.cache.layout == LAYOUT
    torch.testing.assert_close(sent.logits, wide.logits, atol=1e-4, rtol=0)
    with pytest.raises(PkvError, match="in the dtype that the model has there"):
        there.prefill_in(torch.bfloat16)
