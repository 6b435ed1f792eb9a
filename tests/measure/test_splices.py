"""Distances of a decision from that of the full prefill, and splices that change nothing."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache import Runner
from pkv_interp.composing import precompile, splice
from pkv_interp.measure.splices import distance, first_keys_apart, spliced_in_context
from tests.families import ids_of, tiny


def test_distance_is_of_logits_and_of_the_decision() -> None:
    full = torch.tensor([1.0, 3.0, 0.0, -1.0])
    same = distance(full, full, (1, 0))
    assert (same.margin, same.kl, same.top1) == (2.0, 0.0, True)
    assert same.centred_cosine == pytest.approx(1.0)
    other = distance(full.flip(0), full, (1, 0))
    assert other.top1 is False
    assert other.kl > 0.1
    assert other.cosine < 1.0


def test_chunks_made_in_context_change_nothing_and_others_have_turned_keys() -> None:
    loaded = tiny("llama")
    runner = Runner.of(loaded.model)
    ids, spans = ids_of(loaded, 24, 3), [(4, 9), (9, 15)]
    whole = runner.prefill(ids).cache.slice(0, 15)
    prefix = whole.slice(0, 4)
    own = spliced_in_context(runner, loaded.tokenizer, prefix, ids, spans)
    for kind in ("keys", "values"):
        for mine, known in zip(getattr(own, kind), getattr(whole, kind), strict=True):
            torch.testing.assert_close(mine, known, atol=1e-5, rtol=0)
    alone = [precompile(runner, loaded.tokenizer, ids[start:stop]) for start, stop in spans]
    assert first_keys_apart(splice(runner, prefix, *alone), whole) < 1e-5
    unturned = precompile(runner, loaded.tokenizer, ids[4:9]).cache
    assert first_keys_apart(unturned, whole.slice(4, 9)) > 1e-2
    assert not torch.allclose(splice(runner, prefix, *alone).values[1], whole.values[1], atol=1e-3)
