"""Prefills in bfloat16: what is narrow, what is not, and when a run takes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, KVPatch
from pkv_interp.measure.half import HalfCheck, check_half
from pkv_interp.reference.sequential import Sequential
from pkv_interp.run.session import Session
from pkv_interp.tasks import FAMILIES, Style, polarity_case
from tests.families import ids_of, tiny

EVERY = {"prefill", "attention", "queries"}


@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt-oss"])
def test_columns_are_narrow_and_the_decision_over_them_is_not(family: str) -> None:
    loaded = tiny(family)
    engine, ids = Engine(loaded), ids_of(loaded, 40, 0)
    exact = engine.prefill(ids, EVERY)
    engine.prefill_in(torch.bfloat16)
    narrow = engine.prefill(ids, EVERY)
    for key, own in zip(narrow.cache.keys, exact.cache.keys, strict=True):
        assert key.dtype == own.dtype == torch.float32
        assert torch.equal(key, key.bfloat16().float())
        assert 0 < (key - own).abs().max() < 0.2 * own.abs().max()
    # Over these columns the decision is the model's own, in full precision.
    opened = engine.open(ids, narrow.cache)
    assert torch.allclose(opened.logits, narrow.logits, atol=1e-4)
    for name in ("z_all", "mlp_all", "resid_all", "resid_mid_all", "queries", "attn", "own_values"):
        mine, theirs = narrow.need(name), exact.need(name)
        assert mine.shape == theirs.shape
        assert mine.dtype == torch.float32
        assert (mine - theirs).abs().max() < 0.3 * theirs.abs().max()
    assert torch.equal(narrow.need("z_all")[:, -1], narrow.z)
    engine.prefill_in(None)
    assert torch.equal(engine.prefill(ids).logits, exact.logits)


def test_counterfactuals_over_narrow_columns_equal_the_slow_twin() -> None:
    loaded = tiny("llama")
    engine, ids = Engine(loaded), ids_of(loaded, 30, 0)
    other = ids_of(loaded, 30, 1, base=ids, start=12)
    engine.prefill_in(torch.bfloat16)
    clean = engine.prefill(ids, {"prefill"})
    corrupt = engine.prefill(other, {"prefill"}, clean)
    assert torch.equal(corrupt.cache.keys[1][:, :, :12], clean.cache.keys[1][:, :, :12])
    rows = [(), (KVPatch((14, 20), 0),), (HeadPatch(1, 2, 0),)]
    fast = engine.decode(corrupt, rows, (clean,)).logits
    slow = Sequential(loaded).decode(corrupt, rows, (clean,), None).logits
    assert (fast - slow).abs().max() < 1e-4
    moved = engine.rerun(corrupt, [(HeadPatch(0, 1, 0, position=15),)], (clean,)).logits
    assert moved.isfinite().all()
    # A row that changes nothing is run again in float32, over narrow columns: as far off as those are.
    same = engine.rerun(corrupt, [(HeadPatch(0, 1, 0, position=15),)], (corrupt,)).logits
    assert 0 < float((same - corrupt.logits).abs().max()) < 0.05 * float(corrupt.logits.abs().max())


def test_the_check_leaves_the_engine_as_it_was_and_judges_by_the_gap() -> None:
    loaded = tiny("llama")
    engine = Engine(loaded)
    case = polarity_case(FAMILIES[0], 0, loaded.tokenizer, seed=0, style=Style(n_fillers=0))
    before = engine.prefill(case.clean.ids).logits
    found = check_half(engine, [case])
    assert torch.equal(engine.prefill(case.clean.ids).logits, before)
    assert found.error > 0
    assert found.share > 0
    assert "margins of 1 cases move" in found.told("auto")


def test_when_it_is_taken_and_what_is_said() -> None:
    good, slow, bad = (
        HalfCheck(0.01, 0.005, 1.5, 2),
        HalfCheck(0.01, 0.005, 0.9, 2),
        HalfCheck(1.0, 0.2, 2.0, 2),
    )
    assert [c.chosen("auto") for c in (good, slow, bad)] == [True, False, False]
    assert [c.chosen("bfloat16") for c in (good, slow, bad)] == [True, True, False]
    assert "bfloat16 before the decision" in good.told("auto")
    assert "float32 throughout, as bfloat16 is no faster" in slow.told("auto")
    assert "float32 throughout, as margins move too far" in bad.told("bfloat16")


def test_a_model_that_is_narrow_already_is_refused() -> None:
    with pytest.raises(PkvError, match="no narrower prefill in float32; set model.dtype"):
        Engine(tiny("llama")).prefill_in(torch.float32)


@pytest.mark.parametrize("share", [0.005, 0.2])
def test_a_session_takes_it_only_where_it_is_trusted(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, found = tiny("llama"), HalfCheck(0.25, share, 1.5, 1)
    monkeypatch.setattr("pkv_interp.run.session.check_half", lambda *_: found)
    monkeypatch.setattr(Session, "once", lambda _, __, compute, ___: compute())
    run, settings = SimpleNamespace(remarks=[]), SimpleNamespace(prefill_dtype="auto")
    session: Session[Any] = Session(settings, run)  # pyright: ignore[reportArgumentType]
    session.__dict__["engine"] = engine = Engine(loaded)
    assert session._choose_prefill([]) == (0.25 if found.trusted else 0.0)
    assert run.remarks == [found.told("auto")]
    key = engine.prefill(ids_of(loaded, 20, 0)).cache.keys[1]
    assert torch.equal(key, key.bfloat16().float()) is found.trusted
    settings.prefill_dtype = "float32"
    assert session._choose_prefill([]) == 0.0
    assert len(run.remarks) == 1
