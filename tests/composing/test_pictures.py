"""Chunks with pictures: spliced at their own place, and moved."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache import Runner
from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.composing import precompile, seam_repair, splice
from pkv_interp.composing.library import ChunkLibrary
from pkv_interp.errors import PkvError
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from tests.cache.picture_models import MODELS, close, model_of, own, pictures_of, shown, words

pytestmark = pytest.mark.parametrize("name", MODELS)
_FIRST, _SECOND = 3, 5


def _showing(name: str) -> Runner:
    return with_pictures(Runner.of(model_of(name)), pictures_of(name))


def _chunk_ids(name: str) -> list[int]:
    return [*words(_FIRST, 1), *shown(name, 0), *words(_SECOND, 2), *shown(name, 1), *words(2, 3)]


def test_at_the_same_place_a_splice_is_exact(name: str) -> None:
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    head, ids, tail = words(6), _chunk_ids(name), words(4, 7)
    prefix = runner.prefill(head).cache
    chunk = precompile(_showing(name), tokenizer, ids, context=head, sink="prefix")
    spliced = splice(runner, prefix, chunk)
    cache, logits = own(name, [*head, *ids, *tail])
    close(spliced, cache.slice(0, len(head) + len(ids)))
    after = runner.extend(spliced, tail)
    close(after.cache, cache)
    torch.testing.assert_close(after.logits, logits, atol=2e-4, rtol=0)


def test_a_moved_chunk_is_one_that_sees_nothing_before_it(name: str) -> None:
    """Moved by a preface, it equals a re-encode in which nothing before it is attended to."""
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    ids, preface, tail = _chunk_ids(name), words(11, 5), words(4, 7)
    chunk = precompile(_showing(name), tokenizer, ids)
    kept = [key.clone() for key in chunk.cache.keys]
    start, stop = len(preface), len(preface) + len(ids)
    spliced = splice(runner, runner.prefill(preface).cache, chunk)
    unseen = torch.zeros(stop, stop, dtype=torch.bool)
    unseen[start:stop, :start] = True
    cache, _ = own(name, [*preface, *ids], unseen)
    close(spliced, cache, atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(chunk.cache.keys, kept, strict=True))
    # The text after it sees all of it, from the position where it ends.
    unseen = torch.nn.functional.pad(unseen, (0, len(tail), 0, len(tail)))
    _, logits = own(name, [*preface, *ids, *tail], unseen)
    torch.testing.assert_close(runner.extend(spliced, tail).logits, logits, atol=1e-3, rtol=0)


def test_a_chunk_that_is_not_turned_is_another(name: str) -> None:
    """The twin of the test above can tell: columns left at their old angles are not equal."""
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    chunk = precompile(_showing(name), tokenizer, _chunk_ids(name))
    spliced = splice(runner, runner.prefill(words(11, 5)).cache, chunk)
    with pytest.raises(AssertionError):
        close(spliced.slice(11, spliced.length), chunk.cache, atol=1e-2)


def test_text_chunks_after_pictures_stand_where_the_text_goes_on(name: str) -> None:
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    head, ids, more = words(6), _chunk_ids(name), words(7, 9)
    prefix = runner.prefill(head).cache
    first = precompile(_showing(name), tokenizer, ids, context=head, sink="prefix")
    whole = _showing(name).prefill([*head, *ids, *more]).cache
    second = precompile(_showing(name), tokenizer, more, context=[*head, *ids], sink="prefix")
    assert second.start == len(head) + first.extent
    close(splice(runner, prefix, first, second), whole)
    alone = precompile(runner, tokenizer, more)
    spliced = splice(runner, prefix, first, alone)
    assert spliced.end == whole.end
    assert spliced.pictured is not None
    assert whole.pictured is not None
    assert torch.equal(spliced.pictured.places, whole.pictured.places)
    repaired = seam_repair(
        runner, spliced, (len(head) + len(ids), whole.length), [*head, *ids, *more], len(more)
    )
    close(repaired.cache, whole)


def test_a_seam_over_a_picture_is_repaired(name: str) -> None:
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    ids, preface = _chunk_ids(name), words(9, 5)
    chunk = precompile(_showing(name), tokenizer, ids)
    spliced = splice(runner, runner.prefill(preface).cache, chunk)
    span, everything = (len(preface), spliced.length), [*preface, *ids]
    whole = _showing(name).prefill(everything).cache
    close(seam_repair(runner, spliced, span, everything, len(ids)).cache, whole)
    some = seam_repair(runner, spliced, span, everything, _FIRST + 3).cache
    close(some.slice(0, len(preface) + _FIRST + 3), whole.slice(0, len(preface) + _FIRST + 3))


def test_such_a_chunk_is_not_kept_on_disk(name: str, tmp_path: object) -> None:
    runner, tokenizer = Runner.of(model_of(name)), tiny_tokenizer("llama")
    chunk = precompile(_showing(name), tokenizer, _chunk_ids(name))
    with pytest.raises(PkvError, match="not kept on disk"):
        ChunkLibrary(str(tmp_path)).put(runner, tokenizer, chunk)
